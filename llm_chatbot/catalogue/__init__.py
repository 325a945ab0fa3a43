"""The catalogue: which models there are, where each comes from, and how it is compressed. Data, and cheap to import."""
