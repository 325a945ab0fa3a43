"""The bounds of the service, by default. Cheap to import: command lines show them."""

# Answers that are generated at a time, and questions that may wait.
MAX_CONCURRENT, MAX_WAITING = 16, 64

# The most tokens of one answer over the API.
MAX_TOKENS = 8192
