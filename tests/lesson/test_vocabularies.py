from pathlib import Path

import pytest
from tokenizers import pre_tokenizers

from llm_chatbot.lesson import sliders, vocabularies
from llm_chatbot.lesson.vocabularies import other_vocabularies, token_box
from llm_chatbot.sources.gguf_files import FoundGGUF
from tests.lesson.test_sliders import Shown
from tests.vocabularies import learn_merges, write_byte_level_gguf

SPLIT = r"\s*\S+"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three GGUF files that other programs keep: one is damaged, two have the same vocabulary."""
    for name in ("a", "c"):
        write_byte_level_gguf(tmp_path / f"{name}.gguf", "smollm", learn_merges(300, SPLIT))
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    found = [FoundGGUF(name, tmp_path / f"{name}.gguf") for name in "bac"]
    monkeypatch.setattr(vocabularies, "find_ggufs", lambda: found)
    return tmp_path


def test_vocabularies_are_found_each_once(files: Path, tokenizer, models_root: Path):
    found = other_vocabularies(tokenizer, models_root)  # its folders have the model's own
    assert list(found) == ["a"]
    assert set(pre_tokenizers.ByteLevel.alphabet()) <= found["a"].backend_tokenizer.get_vocab().keys()
    assert other_vocabularies(tokenizer, models_root, most=0) == {}


def test_the_pieces_change_with_each_key(files: Path, tokenizer, monkeypatch):
    monkeypatch.setattr(sliders, "display", shown := Shown())
    (box,) = token_box({"this model": tokenizer, **other_vocabularies(tokenizer, files)}, "Hello").children
    assert (
        "this model: 5 characters, 1 tokens" in shown.figures[-1].data and "a: 5 characters" in shown.figures[-1].data
    )
    assert box.continuous_update and box.description
    box.value = "Hello!"
    assert "this model: 6 characters, 2 tokens" in shown.figures[-1].data
