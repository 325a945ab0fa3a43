"""Times small graphs on this machine's CPU, to choose between forms of the same product."""

import time
from collections.abc import Sequence

import numpy as np
import openvino as ov

ATTEMPTS = 15


def shortest_times(compiled: Sequence[ov.CompiledModel], tokens: int, columns: int) -> list[float]:
    """The shortest time in seconds that each model takes for the same activations, [1, tokens, columns].

    The models take turns, so that other load on the machine slows all of them alike.
    """
    requests = [model.create_infer_request() for model in compiled]
    activations = np.random.default_rng(0).standard_normal((1, tokens, columns)).astype(np.float32)
    times: list[list[float]] = [[] for _ in requests]
    for _ in range(ATTEMPTS):
        for request, own in zip(requests, times, strict=True):
            started = time.perf_counter()
            request.infer([activations])
            own.append(time.perf_counter() - started)
    return [min(own) for own in times]
