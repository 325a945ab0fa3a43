import numpy as np
import openvino as ov
import pytest
from nncf.tensor import Tensor

from llm_chatbot.convert.export.scaled_weights import ScaledWeight

WEIGHT = np.random.default_rng(0).normal(0, 0.02, (70, 48)).astype(np.float32)


def in_blocks(constant: ov.op.Constant) -> ScaledWeight:
    """A constant in three blocks of rows."""
    whole = ov.Tensor(constant.data, constant.get_output_shape(0), constant.get_element_type())
    cuts = [(0, 32), (32, 64), (64, 70)]
    return ScaledWeight([ov.Tensor(whole, [start, 0], [end, WEIGHT.shape[1]]) for start, end in cuts])


@pytest.mark.parametrize("type", [ov.Type.bf16, ov.Type.f16, ov.Type.f32])
@pytest.mark.parametrize("axis", [0, 1])
def test_blocks_give_the_same_bits_as_the_whole_matrix(type: ov.Type, axis: int):
    constant = ov.opset13.constant(WEIGHT, dtype=type)
    weight, values = in_blocks(constant), constant.get_data(dtype=np.float32)
    mean = weight.mean_magnitude(axis)
    assert (mean == np.abs(values).mean(axis=axis)).all()

    scale = np.expand_dims(1 / mean, axis)
    scaled = (weight * Tensor(scale)).astype(None)
    expected = ov.opset13.constant(values * scale, dtype=type).data
    assert scaled.shape == WEIGHT.shape
    assert np.concatenate(list(scaled.parts())).tobytes() == expected.tobytes()
