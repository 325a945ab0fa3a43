"""The facts that `list` and `info` print."""
