"""Messages → token ids → text."""
