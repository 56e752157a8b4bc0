"""`python -m occhand`, and with it `torchrun -m occhand`."""

from occhand.cli import main

if __name__ == "__main__":
    main()
