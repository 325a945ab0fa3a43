"""An output layer in two steps: the best tokens' logits are those of its own weights."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from llm_chatbot.decoder.memory import HeapMemory
from llm_chatbot.engine.decode.sampling import BEST_TOKENS
from llm_chatbot.engine.graph import two_step_output
from llm_chatbot.engine.graph.two_step_output import in_two_steps, separate_output_layer, two_steps_may_pay
from llm_chatbot.engine.precisions import EXACT

ROWS, COLUMNS = 2048, 64


def grouped() -> ov.Node:
    """As a GGUF file's blocks become."""
    random = np.random.default_rng(0)
    integers = ops.constant(random.integers(-127, 128, (ROWS, 4, COLUMNS // 4)).astype(np.int8))
    scale = ops.constant(random.uniform(0.001, 0.01, (ROWS, 4, 1)).astype(np.float32))
    weight = ops.multiply(ops.convert(integers, np.float32), scale)
    return ops.reshape(weight, np.array([ROWS, COLUMNS]), special_zero=False)


def asymmetric() -> ov.Node:
    """As NNCF compresses to 8 bits."""
    random = np.random.default_rng(0)
    integers = ops.convert(ops.constant(random.integers(0, 256, (ROWS, COLUMNS)).astype(np.uint8)), np.float16)
    zero_point = ops.convert(ops.constant(random.integers(100, 150, (ROWS, 1)).astype(np.uint8)), np.float16)
    scale = ops.constant(random.uniform(0.001, 0.01, (ROWS, 1)).astype(np.float16))
    return ops.convert(ops.multiply(ops.subtract(integers, zero_point), scale), np.float32)


def four_bits() -> ov.Node:
    integers = ov.Tensor(ov.Type.u4, ov.Shape([ROWS, COLUMNS]))
    integers.data[:] = 1
    return ops.multiply(ops.convert(ops.constant(integers), np.float32), np.float32(0.1))


def ending(weight: ov.Node) -> ov.Model:
    """The end of a paged graph, with a soft cap as Gemma's."""
    states = ops.parameter([-1, 1, COLUMNS], np.float32)
    product = ops.matmul(ops.relu(states), weight, transpose_a=False, transpose_b=True)
    logits = ops.multiply(ops.tanh(ops.divide(product, np.float32(30))), np.float32(30))
    logits.output(0).set_names({"logits"})
    return ov.Model([ops.result(logits)], [states])


def result(model: ov.Model, states: np.ndarray) -> np.ndarray:
    return ov.Core().compile_model(model, "CPU", EXACT)([states], share_outputs=False)[0]


@pytest.mark.parametrize("weight", [grouped, asymmetric])
def test_the_best_tokens_have_the_logits_of_the_layer_and_the_others_similar_ones(weight):
    model = ending(weight())
    states = np.random.default_rng(1).standard_normal((1, 1, COLUMNS)).astype(np.float32)
    wanted = result(model, states).ravel()
    layer = separate_output_layer(model)
    hidden = result(model, states)
    np.testing.assert_allclose(result(layer, hidden).ravel(), wanted, atol=1e-4)
    found = result(in_two_steps(layer, HeapMemory()), hidden).ravel()
    best = np.argsort(-wanted)[: BEST_TOKENS // 4]
    np.testing.assert_allclose(found[best], wanted[best], atol=1e-4)
    assert found.argmax() == wanted.argmax()
    difference = np.abs(found - wanted)
    assert 0 < difference.mean() < 0.1 * wanted.std() and (difference < 1e-4).sum() < 2 * BEST_TOKENS


def test_an_exception_of_the_check_ends_the_rounding():
    def check() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        in_two_steps(separate_output_layer(ending(grouped())), HeapMemory(), check)


def test_two_steps_are_for_large_layers_in_8_bits_and_not_where_exact_results_are_asked_for(monkeypatch):
    assert not two_steps_may_pay(ending(grouped()), {})
    monkeypatch.setattr(two_step_output, "LEAST_OUTPUT_WEIGHTS", ROWS * COLUMNS)
    assert two_steps_may_pay(ending(grouped()), {}) and two_steps_may_pay(ending(asymmetric()), {})
    assert not two_steps_may_pay(ending(grouped()), EXACT)
    assert not two_steps_may_pay(ending(grouped()), {"EXECUTION_MODE_HINT": "ACCURACY"})
    assert not two_steps_may_pay(ending(four_bits()), {})
    monkeypatch.setattr(two_step_output, "LEAST_OUTPUT_SHARE", 1.1)
    assert not two_steps_may_pay(ending(grouped()), {})
