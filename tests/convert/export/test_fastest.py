from pathlib import Path

import pytest

from llm_chatbot.catalogue.row import Int4Settings
from llm_chatbot.convert.export import fastest
from llm_chatbot.convert.export.fastest import fastest_int4, known_speeds

INT4 = Int4Settings(group_size=64, ratio=0.6)
SPEEDS = {"INT8_ASYM": 10.0, "INT8_SYM": 11.0, "INT4_ASYM": 12.0, "INT4_SYM": 15.0}


@pytest.fixture
def speeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The result of a measurement; the cache is empty."""
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path))
    found = dict(SPEEDS)
    monkeypatch.setattr(fastest, "measured_speeds", lambda group_size: dict(found))
    return found


@pytest.mark.parametrize("mode", ["INT4_SYM", "INT4_ASYM"])
def test_the_fastest_mode_of_this_machine_is_taken(mode: str, speeds: dict[str, float], capsys):
    speeds[mode] = 20.0
    assert fastest_int4(INT4) == Int4Settings(mode, group_size=64, ratio=1.0, awq=True)
    printed = capsys.readouterr().out
    assert f"groups of 64, {mode} being 1: INT8_ASYM 0.50" in printed and "consider" not in printed


def test_where_8_bits_are_faster_that_is_said(speeds: dict[str, float], capsys):
    speeds["INT8_SYM"] = 16.0
    assert fastest_int4(INT4).mode == "INT4_SYM"
    assert "consider --precision INT8" in capsys.readouterr().out


def test_a_machine_is_measured_once_for_each_group_size(speeds: dict[str, float]):
    known_speeds(64)
    speeds["INT4_SYM"] = 1.0
    assert known_speeds(64) == SPEEDS
    assert known_speeds(128) == speeds


def test_layers_are_timed_in_each_mode(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"HIDDEN": 128, "FFN": 256, "LAYERS": 1, "ROUNDS": 3}.items():
        monkeypatch.setattr(fastest, name, value)
    found = fastest.measured_speeds(64)
    assert list(found) == list(SPEEDS) and min(found.values()) > 0
