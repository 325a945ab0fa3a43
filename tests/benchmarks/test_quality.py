from pathlib import Path

from benchmarks.quality import WIKITEXT_CHARACTERS, beside, wikitext
from config import UserError

import datasets
import pytest

# The metadata of the Hub's repository, as far as this part of it goes.
WIKITEXT_CARD = """---
configs:
- config_name: wikitext-2-raw-v1
  data_files:
  - split: test
    path: wikitext-2-raw-v1/test-*
  - split: train
    path: wikitext-2-raw-v1/train-*
---
"""


def test_wikitext_is_the_beginning_of_its_test_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By `datasets` itself, which takes a folder of the repository's name and layout for the repository."""
    repository = tmp_path / "Salesforce" / "wikitext"
    part = repository / "wikitext-2-raw-v1"
    part.mkdir(parents=True)
    (repository / "README.md").write_text(WIKITEXT_CARD, encoding="utf-8")
    for split, rows in {"test": ["", " = A title = \n", "A paragraph. " * 10_000], "train": ["Not this."]}.items():
        datasets.Dataset.from_dict({"text": rows}).to_parquet(part / f"{split}-00000-of-00001.parquet")
    monkeypatch.chdir(tmp_path)
    (text,) = wikitext().values()
    assert text.startswith(" = A title = \nA paragraph. ") and len(text) == WIKITEXT_CHARACTERS


def test_the_figures_are_beside_the_folders_where_the_page_finds_them(tmp_path: Path):
    assert beside([tmp_path / "model" / "FP16", tmp_path / "model" / "INT8_compressed_weights"]) == tmp_path / "model"
    assert beside([tmp_path / "one" / "FP16", tmp_path / "other" / "FP16"]) == Path(".")


def test_without_a_hub_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch):
    def fail(*names: str, split: str) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(UserError, match="check the network, or leave --wikitext out"):
        wikitext()
