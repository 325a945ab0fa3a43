"""Silence from the libraries that trace and compress a model."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import nncf
import torch
import transformers


@contextmanager
def without_log() -> Iterator[None]:
    """Silences every log: OpenVINO's front end reports what the exporter then does in another way as an error."""
    front_end = logging.getLogger("openvino.frontend.pytorch.utils")
    logging.disable(logging.ERROR)
    front_end.disabled = True  # on its own too: Optimum Intel undoes the line before
    try:
        yield
    finally:
        front_end.disabled = False
        logging.disable(logging.NOTSET)


@contextmanager
def quiet() -> Iterator[None]:
    """Silences the log messages, warnings and progress bars of tracing and compression, which no user can act on."""
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    nncf.set_log_level(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=torch.jit.TracerWarning)
            yield
    finally:
        transformers.logging.set_verbosity(level)
        transformers.logging.enable_progress_bar()
