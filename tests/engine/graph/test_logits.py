from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
from openvino.op import assign, read_value
from openvino.op.util import Variable, VariableInfo

from llm_chatbot.engine.graph.logits import check_state
from llm_chatbot.errors import UserError


def test_a_graph_whose_memory_is_not_keys_and_values_is_refused(tmp_path: Path):
    info = VariableInfo()
    info.variable_id, info.data_type, info.data_shape = "conv", ov.Type.f32, ov.PartialShape([-1, 4, 3])
    variable, start = Variable(info), ops.parameter([-1, 4, 3], np.float32)
    read = read_value(start, variable)
    state_space = ov.Model([ops.result(read)], [assign(read, variable)], [start])
    with pytest.raises(UserError, match="state-space model"):
        check_state(state_space, tmp_path)
    with pytest.raises(UserError, match=r"without a KV cache .* convert the model again"):
        check_state(ov.Model([ops.result(start)], [start]), tmp_path)
