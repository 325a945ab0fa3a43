import json
import sys

import pytest

from llm_chatbot.machine.json_value import json_value

LARGEST = sys.float_info.max


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e400", LARGEST),
        ('{"a": [-1e400, 1E+999]}', {"a": [-LARGEST, LARGEST]}),
        ("1e308", 1e308),
        ("1e-400", 0.0),
        (str(10**400), 10**400),
        ('"1e400 NaN"', "1e400 NaN"),
    ],
)
def test_numbers_are_finite_and_can_be_written_again(text: str, value: object):
    assert json_value(text) == json_value(text.encode()) == value
    assert json_value(json.dumps(value, allow_nan=False)) == value


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "[" * 100_000, "", "{", "'a'"])
def test_what_is_no_json_is_refused(text: str):
    with pytest.raises(json.JSONDecodeError):
        json_value(text)
