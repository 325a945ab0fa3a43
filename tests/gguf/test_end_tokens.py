"""Which ids a setting names."""

import pytest

from llm_chatbot.gguf.end_tokens import listed_ids


@pytest.mark.parametrize(
    ("setting", "expected"), [(None, set()), (0, {0}), (2, {2}), ([], set()), ([2, 7, 2], {2, 7}), (["</s>"], set())]
)
def test_a_setting_names_one_id_or_several_or_none(setting: object, expected: set[int]):
    assert listed_ids(setting) == expected
