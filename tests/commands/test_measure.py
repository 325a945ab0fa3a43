import json
import sys
from pathlib import Path

import datasets
import matplotlib
import matplotlib.pyplot as plt
import pytest

from llm_chatbot.commands import measure as quality
from llm_chatbot.commands.measure import WIKITEXT_CHARACTERS, beside, wikitext, write_figures
from llm_chatbot.errors import UserError
from llm_chatbot.evaluation.comparison import VariantFigures
from llm_chatbot.folder.found import MEASURED

FIGURES = VariantFigures("INT4", 100, 2, 5, 1, 0, 0, 2, 300, 400, 50, 20, 0.1, 1, 0.9, 9, 9, {})

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


def test_a_folder_that_cannot_be_written_is_found_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["quality.py", str(tmp_path), "--output", str(tmp_path / "file" / "below")])
    monkeypatch.setattr(quality, "compare", lambda *arguments, **options: pytest.fail("it measured"))
    assert quality.main() == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "can't be written (" in sentence and sentence.endswith("name another folder with --output.")


def test_the_table_is_there_even_if_the_figures_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / MEASURED).mkdir()
    monkeypatch.setattr(sys, "argv", ["quality.py", "FP16", "--output", str(tmp_path)])
    monkeypatch.setattr(quality, "compare", lambda *arguments, **options: [FIGURES])
    assert quality.main() == 2
    captured = capsys.readouterr()
    assert "| INT4 | 100 |" in captured.out and "can't be written" in captured.err


def test_the_figures_and_their_plot_are_written_without_a_display(tmp_path: Path):
    plt.switch_backend("pdf")
    write_figures([FIGURES], tmp_path)
    assert matplotlib.get_backend().lower() == "agg"
    assert (tmp_path / "quality.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / MEASURED).read_text("utf-8"))["variants"][0]["kl"] == 0.1
