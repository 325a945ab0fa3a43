from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.evaluation.weight_storage import weight_storage


def save(path: Path, weight: ov.Node, users: int = 1) -> Path:
    """A model that multiplies its input with a weight of [4, 8], as often as said."""
    hidden = ops.parameter([-1, 8], np.float32)
    scaled = ops.multiply(hidden, ops.constant(np.ones((1, 8), dtype=np.float32)))  # not a weight: it scales an input
    products = [ops.matmul(scaled, weight, False, True) for _ in range(users)]
    ov.save_model(ov.Model([ops.result(each) for each in products], [hidden]), path, compress_to_fp16=False)
    return path


def test_four_bit_weights_with_their_scales_and_zero_points(tmp_path: Path):
    packed = ov.Tensor(np.arange(16, dtype=np.uint8), [4, 2, 4], ov.Type.u4)
    zero_point = ov.Tensor(np.arange(4, dtype=np.uint8), [4, 2, 1], ov.Type.u4)
    scale = np.ones((4, 2, 1), dtype=np.float16)
    shifted = ops.subtract(
        ops.convert(ops.constant(packed), np.float16), ops.convert(ops.constant(zero_point), np.float16)
    )
    weight = ops.reshape(ops.multiply(shifted, ops.constant(scale)), [4, 8], False)
    storage = weight_storage(save(tmp_path / "model.xml", ops.convert(weight, np.float32)))
    assert storage.counts == {4: 32}
    assert storage.overhead == 8 * 4 + 8 * 16
    assert storage.bits_per_weight == 4 + 160 / 32
    assert storage.share(4) == 1
    assert not storage.is_16bit


def test_a_weight_that_is_used_twice_counts_once(tmp_path: Path):
    weight = ops.convert(ops.constant(np.ones((4, 8), dtype=np.float16)), np.float32)
    storage = weight_storage(save(tmp_path / "model.xml", weight, users=2))
    assert storage.counts == {16: 32}
    assert storage.bits_per_weight == 16
    assert storage.is_16bit


@pytest.mark.parametrize("precision", ["FP16", "INT8", "INT4"])
def test_the_embedded_model_has_no_weights_beyond_those_found(precision: str, models_root: Path):
    path = convert_model(DEFAULT_MODEL, precision, models_root) / "openvino_model.xml"
    storage = weight_storage(path)
    assert storage.total == 134_515_008 - 61 * 576  # all parameters but the norms
    assert storage.bits_per_weight * storage.total / 8 == pytest.approx(
        path.with_suffix(".bin").stat().st_size, rel=0.002
    )
    assert storage.is_16bit == (precision == "FP16")
    assert {"FP16": 16, "INT8": 8, "INT4": 4}[precision] == min(storage.counts)
