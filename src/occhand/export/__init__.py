"""Networks as files for other runtimes, each checked against the network it was made from and with a card that says what it is."""
