from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
from openvino.op import assign, read_value
from openvino.op.util import Variable, VariableInfo

from llm_chatbot.engine.graph.logits import check_growing, check_state
from llm_chatbot.errors import UserError


def graph_with(*shapes: list[int]) -> ov.Model:
    """A graph with states of these shapes."""
    results, sinks, starts = [], [], []
    for number, shape in enumerate(shapes):
        info = VariableInfo()
        info.variable_id, info.data_type, info.data_shape = f"state.{number}", ov.Type.f32, ov.PartialShape(shape)
        variable, start = Variable(info), ops.parameter(shape, np.float32)
        read = read_value(start, variable)
        results.append(ops.result(read))
        sinks.append(assign(read, variable))
        starts.append(start)
    return ov.Model(results, sinks, starts)


def test_a_graph_whose_memory_is_not_keys_and_values_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="state-space model"):
        check_state(graph_with([-1, 4, 3]), tmp_path)
    start = ops.parameter([-1, 4, 3], np.float32)
    with pytest.raises(UserError, match=r"without a KV cache .* convert the model again"):
        check_state(ov.Model([ops.result(start)], [start]), tmp_path)


def test_a_recurrent_state_beside_keys_and_values_is_for_the_paged_graph(tmp_path: Path):
    hybrid = graph_with([-1, 4, 3], [-1, 2, -1, 16])
    check_state(hybrid, tmp_path)
    with pytest.raises(UserError, match=r"only the shared cache on a CPU"):
        check_growing(hybrid, tmp_path)
    check_growing(graph_with([-1, 2, -1, 16]), tmp_path)
