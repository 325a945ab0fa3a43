"""Checkpoint → OpenVINO IR → compressed weights: what `converter.py` is made of.

It may know the catalogue and the folder's layout, and is the one place for PyTorch's modelling code, Optimum Intel's
exporters, NNCF, SentencePiece and GGUF. It knows nothing of how a folder is run.
"""

import config as config  # first of all: it keeps the libraries from reporting usage
