"""Times small graphs on this machine's CPU, to choose between forms of the same product."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import openvino as ov

from llm_chatbot.machine.cache import measured_once

Chosen = TypeVar("Chosen")

ATTEMPTS = 15


def tried_once(what: str, properties: Mapping[str, Any], choose: Callable[[], Chosen]) -> Chosen:
    """The choice of a trial on this machine's processor with this release of OpenVINO; later calls know it.

    Args:
        what: names the trial, and all that it depends on but the properties.
        properties: those that its graphs are compiled with.
        choose: returns what JSON can hold.
    """
    processor = ov.Core().get_property("CPU", "FULL_DEVICE_NAME")
    key = f"{processor}, OpenVINO {ov.get_version()}, {what}, {sorted(properties.items())}"
    return measured_once("arithmetic.json", key, choose)


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
