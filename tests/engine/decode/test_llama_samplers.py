"""Our samplers against llama.cpp's, on what `tests/data/make_llama_samplers.py` recorded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_chatbot.engine.decode.dry import Dry, DryPenalty, token_breakers
from llm_chatbot.engine.decode.penalties import Penalties
from llm_chatbot.engine.decode.sampling import Sampling, candidates, exclude_top_choices
from llm_chatbot.engine.text.tokenizer import FolderTokenizer

RECORDED = Path(__file__).resolve().parents[2] / "data" / "llama_samplers.json"
CASES = json.loads(RECORDED.read_text(encoding="utf-8"))
EXCLUDED = -np.inf


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [case for case in CASES if case["kind"] == kind]


def logits_of(case: dict[str, Any]) -> np.ndarray:
    logits = np.full(max(case["ids"]) + 1, EXCLUDED, dtype=np.float32)
    logits[case["ids"]] = case["logits"]
    return logits


def check(found: np.ndarray, case: dict[str, Any]) -> None:
    left = [EXCLUDED if value is None else value for value in case["left"]]
    np.testing.assert_allclose(found[case["ids"]], left, rtol=1e-4, atol=2e-4)


def test_dry_is_that_of_llama_cpp(embedded_folder: Path):
    tokenizer = FolderTokenizer(embedded_folder)
    changed = 0
    for case in of_kind("dry"):
        options = dict(case["options"])
        breakers = tuple(options.pop("breakers"))
        penalty = DryPenalty(Dry(**options), case["before"], token_breakers(tokenizer, breakers))
        penalty.mask(logits := logits_of(case))
        check(logits, case)
        changed += case["left"] != case["logits"]
    assert changed > 15


@pytest.mark.parametrize("case", of_kind("penalties"), ids=lambda case: str(case["options"]))
def test_penalties_are_those_of_llama_cpp(case: dict[str, Any]):
    penalties = Penalties(Sampling(**case["options"]), [])
    for token in case["before"]:
        penalties.accept(token)
    check(penalties.applied(logits_of(case)), case)


@pytest.mark.parametrize("case", of_kind("xtc"), ids=lambda case: str(case["options"]))
def test_xtc_is_that_of_llama_cpp(case: dict[str, Any]):
    logits = logits_of(case)
    ids, probabilities = candidates(logits, np.array([], dtype=np.int64), Sampling(temperature=1))
    left, _ = exclude_top_choices(ids, probabilities, logits, case["options"]["xtc_threshold"])
    expected = {id for id, value in zip(case["ids"], case["left"], strict=True) if value is not None}
    assert set(left.tolist()) & set(case["ids"]) == expected
