"""One module per system; each is run as its own process and prints one JSON line."""
