"""Constants of a graph."""

import numpy as np

from llm_chatbot.decoder.constants import constant, shared_constants


def names(*values: object) -> set[str]:
    return {constant(value).get_name() for value in values}


def test_equal_small_constants_are_one_node_while_they_are_shared():
    with shared_constants():
        assert len(names([1, 2], [1, 2], np.array([1, 2]))) == 1
        assert len(names(1, [1], [[1]], np.float32(1), np.int32(1), 2)) == 6
        assert len(names(np.ones(9), np.ones(9))) == 2
        kept = constant(1).get_name()
    assert constant(1).get_name() != kept
    with shared_constants():
        assert constant(1).get_name() != kept
