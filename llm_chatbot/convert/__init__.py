"""Checkpoint → OpenVINO IR → compressed weights: the work behind `converter.py`.

Only this package uses Optimum Intel's exporters, NNCF, SentencePiece and GGUF. It knows the catalogue and the layout of
a converted folder, and nothing of how such a folder is run.
"""
