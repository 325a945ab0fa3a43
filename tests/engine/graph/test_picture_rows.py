import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from llm_chatbot.engine.graph.paged_graph import PICTURE_ROWS
from llm_chatbot.engine.graph.picture_rows import INPUTS_EMBEDS, add_picture_rows, joined_graphs

TABLE = np.arange(20, dtype=np.float32).reshape(10, 2)


def named(node: ov.Node, name: str) -> ov.Node:
    node.output(0).set_names({name})
    return node


def language() -> ov.Model:
    """Doubles what it reads."""
    vectors = named(ops.parameter([-1, -1, 2], np.float32), INPUTS_EMBEDS)
    return ov.Model([named(ops.result(ops.multiply(vectors, np.float32(2))), "logits")], [vectors], "language")


def text_embeddings() -> ov.Model:
    ids = named(ops.parameter([-1, -1], np.int64), "input")
    return ov.Model([ops.result(ops.gather(ops.constant(TABLE), ids, ops.constant(0)))], [ids], "text")


def run(graph: ov.Model, **inputs: np.ndarray) -> np.ndarray:
    return ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)[0]


def test_two_graphs_become_one_that_reads_ids():
    logits = run(joined_graphs(language(), text_embeddings()), input_ids=np.array([[3, 7]]))
    np.testing.assert_array_equal(logits, 2 * TABLE[None, [3, 7]])


@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (2, 2)])
def test_negative_ids_are_rows(shape: tuple[int, int]):
    graph = joined_graphs(language(), text_embeddings())
    add_picture_rows(graph)
    rows = np.array([[-1, -2], [-3, -4]], np.float32)
    logits = run(graph, input_ids=np.array([3, -1, -2, 9]).reshape(shape), **{PICTURE_ROWS: rows})
    np.testing.assert_array_equal(logits.reshape(4, 2), 2 * np.stack([TABLE[3], rows[0], rows[1], TABLE[9]]))


def test_a_call_without_pictures_ignores_the_row():
    graph = joined_graphs(language(), text_embeddings())
    add_picture_rows(graph)
    logits = run(graph, input_ids=np.array([[0, 9]]), **{PICTURE_ROWS: np.full((1, 2), np.nan, np.float32)})
    np.testing.assert_array_equal(logits, 2 * TABLE[None, [0, 9]])
