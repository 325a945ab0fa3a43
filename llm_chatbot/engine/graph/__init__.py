"""Changes of a model's graph in memory; the files in the folder stay as they are."""
