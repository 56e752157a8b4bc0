"""`python -m tools.open_hand` writes the package's hand file."""

from tools.open_hand.build import main

main()
