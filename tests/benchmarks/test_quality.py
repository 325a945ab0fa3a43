from benchmarks.quality import WIKITEXT_CHARACTERS, wikitext
from config import UserError

import datasets
import pytest


def test_wikitext_is_the_beginning_of_its_test_split(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def load(*names: str, split: str) -> dict[str, list[str]]:
        asked.append((*names, split))
        return {"text": ["", " = A title = \n", "A paragraph. " * 10_000]}

    monkeypatch.setattr(datasets, "load_dataset", load)
    (text,) = wikitext().values()
    assert asked == [("Salesforce/wikitext", "wikitext-2-raw-v1", "test")]
    assert text.startswith(" = A title = \nA paragraph. ") and len(text) == WIKITEXT_CHARACTERS


def test_without_a_hub_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch):
    def fail(*names: str, split: str) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(UserError, match="check the network, or leave --wikitext out"):
        wikitext()
