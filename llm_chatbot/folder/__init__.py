"""A converted folder: where it is, what is in it, whether it is complete and up to date. Cheap to import."""
