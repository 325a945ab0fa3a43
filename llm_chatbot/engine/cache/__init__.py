"""Keys and values of conversations, in one pool of blocks or in an infer request."""
