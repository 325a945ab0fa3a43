"""A vision tower's graph, written from the `mmproj` file that lies beside a GGUF model.

A function for each kind of tower, made of the decoder's blocks, and a row for each projector that says what it is made
of.
"""
