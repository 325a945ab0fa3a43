"""Which weights decode fastest on this processor? Measured once, on matrices of random weights, and remembered.

The order differs between processors: with AVX2 alone, symmetric groups are faster than asymmetric ones, and 8 bits may
be faster than 4; with VNNI they are much the same.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import nncf
import numpy as np
import openvino as ov
import openvino.opset13 as ops

from llm_chatbot.catalogue.row import Int4Settings
from llm_chatbot.convert.export.quiet import quiet
from llm_chatbot.machine.cache import measured_once

# Six matrices of these sizes have 100 million weights: more than a processor's caches hold, in 4 bits too.
HIDDEN, FFN, LAYERS = 2048, 8192, 3
ROUNDS = 15


def fastest_int4(int4: Int4Settings) -> Int4Settings:
    """4-bit settings with the groups of `int4` in the mode that decodes fastest here, in all layers, with AWQ.

    Prints what was measured, and whether 8 bits are faster still.
    """
    speeds = known_speeds(int4.group_size)
    modes = [mode for mode in speeds if mode.startswith("INT4")]
    fastest = max(modes, key=lambda mode: speeds[mode])
    listed = ", ".join(f"{mode} {speed / speeds[fastest]:.2f}" for mode, speed in speeds.items())
    print(f"Tokens/s on this processor with groups of {int4.group_size}, {fastest} being 1: {listed}.")
    if max(speeds.values()) > speeds[fastest]:
        print("8 bits are faster than 4 here, and closer to 16: consider --precision INT8.")
    return replace(int4, mode=fastest, ratio=1.0, awq=True)


def known_speeds(group_size: int) -> dict[str, float]:
    """Tokens/s by NNCF's mode, from an earlier call on this machine with this OpenVINO or else measured now."""
    machine = f"{ov.Core().get_property('CPU', 'FULL_DEVICE_NAME')}, OpenVINO {ov.get_version()}, {group_size}"
    return measured_once("fastest.json", machine, lambda: measured_speeds(group_size))


def measured_speeds(group_size: int) -> dict[str, float]:
    """Tokens/s of a few layers by NNCF's mode: the fastest of rounds in which the modes take turns."""
    print("Measuring which weights are fastest on this processor; this takes a moment.")
    variants: dict[str, dict[str, Any]] = {
        "INT8_ASYM": {},
        "INT8_SYM": {},
        "INT4_ASYM": {"group_size": group_size, "ratio": 1.0, "all_layers": True},
        "INT4_SYM": {"group_size": group_size, "ratio": 1.0, "all_layers": True},
    }
    requests = {mode: _compiled(mode, settings) for mode, settings in variants.items()}
    return _tokens_per_second(requests)


def _compiled(mode: str, settings: Mapping[str, Any]) -> ov.InferRequest:
    with quiet():
        model = nncf.compress_weights(_layers(), mode=nncf.CompressWeightsMode[mode], **settings)
    return ov.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"}).create_infer_request()


def _layers() -> ov.Model:
    """The matrices of a language model's feed-forward layers, one after the other."""
    random = np.random.default_rng(0)
    values = {shape: random.normal(0, 0.02, shape).astype(np.float16) for shape in ((FFN, HIDDEN), (HIDDEN, FFN))}
    node = parameter = ops.parameter([1, 1, HIDDEN], np.float32)
    for shape in [(FFN, HIDDEN), (HIDDEN, FFN)] * LAYERS:
        weight = ops.convert(ops.constant(values[shape]), np.float32)
        node = ops.matmul(node, weight, False, True)
    return ov.Model([node], [parameter])


def _tokens_per_second(requests: Mapping[str, ov.InferRequest]) -> dict[str, float]:
    token = np.ones((1, 1, HIDDEN), np.float32)
    seconds: dict[str, list[float]] = {mode: [] for mode in requests}
    for _ in range(ROUNDS):
        for mode, request in requests.items():
            start = time.perf_counter()
            request.infer([token])
            seconds[mode].append(time.perf_counter() - start)
    return {mode: 1 / min(times[1:]) for mode, times in seconds.items()}
