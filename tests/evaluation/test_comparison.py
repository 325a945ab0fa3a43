import shutil
from math import log
from pathlib import Path

import psutil
import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.text.tokenizer import FolderTokenizer
from llm_chatbot.errors import UserError
from llm_chatbot.evaluation import comparison
from llm_chatbot.evaluation.comparison import (
    EXACT,
    VariantFigures,
    check_variants,
    compare,
    measure_quality,
    score_texts,
    summarize,
    variant_names,
)
from llm_chatbot.evaluation.texts import passages
from tests.embedded_checkpoint import read_embedded

TEXTS = {"en": passages()["en"][:1200], "zh": passages()["zh"][:60]}
QUESTIONS = ["What is the capital of France?"]
MEASURED = {"load_seconds", "memory_mb", "prefill_tps", "decode_tps"}


@pytest.fixture(scope="module")
def folders(models_root: Path) -> list[Path]:
    return [convert_model(DEFAULT_MODEL, precision, models_root) for precision in ("INT4", "FP16", "INT8")]


@pytest.fixture(scope="module")
def results(folders: list[Path]) -> list[VariantFigures]:
    steps: list[str] = []
    found = compare(folders, TEXTS, QUESTIONS, rounds=1, progress=lambda step, done, total: steps.append(step))
    assert list(dict.fromkeys(steps)) == ["Predicting", "Answering", "Timing", "Loading"]
    return found


def test_variants_are_compared_with_the_16_bit_one_wherever_it_stands(results: list[VariantFigures]):
    int4, fp16, int8 = results
    assert [each.variant for each in (int4, fp16, int8)] == ["INT4", "FP16", "INT8"]
    assert (fp16.kl, fp16.kl_p99, fp16.same_top, fp16.sdt, fp16.compression_rate) == (0, 0, 1, 0, 1)
    assert 0 < int8.kl < int4.kl < 1
    assert int8.kl < int8.kl_p99
    assert int4.same_top < int8.same_top <= 1
    assert int4.size_mb < int8.size_mb < fp16.size_mb
    assert int4.memory_mb < fp16.memory_mb
    assert fp16.fdt >= int8.fdt > 0
    assert set(int4.by_text) == {"en", "zh"}
    assert all(getattr(each, name) > 0 for each in (int4, fp16, int8) for name in MEASURED)


def test_quality_is_the_same_each_time(folders: list[Path], results: list[VariantFigures]):
    int4, fp16, _ = folders
    scores, answers = measure_quality([int4, fp16], fp16, TEXTS, QUESTIONS)
    again = summarize(scores[int4], answers[int4], answers[fp16])
    before = {name: getattr(results[0], name) for name in again}
    for figures in (before, again):
        for by_text in figures.pop("by_text").values():
            figures |= {f"{name} of a text": value for name, value in by_text.items()}
    # Numbers are added up in any order, and the divergence of 4 bits is only known to four digits.
    assert again == pytest.approx(before, rel=1e-4, abs=1e-6)


def test_perplexity_is_lm_evals(folders: list[Path], tokenizer):
    """The same weights in PyTorch, by lm-eval's own code, in windows of 64 tokens."""
    folder, text = folders[1], TEXTS["en"]
    judge = HFLM(pretrained=read_embedded().float(), tokenizer=tokenizer, backend="causal", max_length=64)
    request = Instance("loglikelihood_rolling", doc={}, arguments=(text,), idx=0)
    (expected,) = judge.loglikelihood_rolling([request], disable_tqdm=True)
    models = {folder: open_model(folder, ov_config=EXACT, paged=False)}
    scores = score_texts(models, folder, FolderTokenizer(folder), {"en": text}, window=64)[folder]["en"]
    assert len(scores.kl) > 128  # of which there are several windows
    assert scores.log_likelihood.sum() == pytest.approx(expected, rel=1e-4)
    assert log(scores.perplexity) == pytest.approx(-expected / len(scores.kl), rel=1e-4)


def test_folders_that_cannot_be_compared_are_refused(folders: list[Path], tmp_path: Path):
    with pytest.raises(UserError, match="There is no folder"):
        check_variants([folders[1], tmp_path / "nowhere"])
    with pytest.raises(UserError, match="is not a complete converted model"):
        check_variants([folders[1], tmp_path])
    with pytest.raises(UserError, match=r"None of the folders has 16-bit weights .* --precision FP16"):
        check_variants([folders[0], folders[2]])
    other = shutil.copytree(folders[1], tmp_path / "other", ignore=shutil.ignore_patterns("model_cache"))
    (other / "conversion.json").unlink()
    assert check_variants([other])[other].is_16bit  # as Optimum Intel writes them: without a manifest
    config = other / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"hidden_size": 576', '"hidden_size": 577'), "utf-8")
    with pytest.raises(UserError, match="hold different models; name folders of one model"):
        check_variants([folders[1], other])


def test_memory_that_is_too_small_is_a_sentence_before_anything_is_loaded(folders: list[Path], monkeypatch):
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=500_000_000))
    monkeypatch.setattr(comparison, "open_model", None)  # can't be called
    with pytest.raises(UserError, match=r"0\.5 GB of memory are free, and .* takes 0\.\d GB, .* smaller model"):
        compare(folders)


def test_variants_are_called_by_their_paths_where_their_names_are_the_same(tmp_path: Path):
    assert set(variant_names([tmp_path / "FP16", tmp_path / "INT8_compressed_weights"]).values()) == {"FP16", "INT8"}
    twins = [tmp_path / "a" / "FP16", tmp_path / "b" / "FP16"]
    assert list(variant_names(twins).values()) == list(map(str, twins))
