import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llm_chatbot.engine.cache.paged_runner import PagedRunner
from llm_chatbot.engine.compile_cache import compile_cache
from llm_chatbot.engine.graph.arithmetic import GROUP_SIZE
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.engine.session import ChatSession


def final(session: ChatSession, text: str, **generation):
    *_, answer = session.stream(text, **generation)
    return answer


def test_the_context_length_is_the_models(model):
    assert model.context_length == 8192


@pytest.fixture
def own_folder(embedded_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(embedded_folder, tmp_path / "model", ignore=shutil.ignore_patterns("model_cache"))


@pytest.fixture
def small_folder(tiny_folders: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(tiny_folders["mpt"], tmp_path / "small", ignore=shutil.ignore_patterns("model_cache"))


def cache_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "model_cache").rglob("*") if path.is_file()]


def test_what_was_compiled_is_used_again(small_folder: Path):
    open_model(small_folder, paged=False)
    [blob] = cache_files(small_folder)
    written = blob.stat().st_mtime_ns
    open_model(small_folder, paged=False)
    assert [path.stat().st_mtime_ns for path in cache_files(small_folder)] == [written]


def test_a_changed_file_is_never_served_from_the_cache(own_folder: Path):
    before = open_model(own_folder, paged=False).new_cache().feed([1, 2, 3]).copy()
    [stale] = cache_files(own_folder)
    weights = bytearray((own_folder / "openvino_model.bin").read_bytes())
    weights[40_000_000:60_000_000] = bytes(20_000_000)  # layers in the middle; the file is as long as before
    (own_folder / "openvino_model.bin").write_bytes(weights)
    assert not np.array_equal(open_model(own_folder, paged=False).new_cache().feed([1, 2, 3]), before)
    assert stale not in cache_files(own_folder)


def test_an_unusable_cache_file_is_replaced(small_folder: Path):
    expected = open_model(small_folder, paged=False).new_cache().feed([1, 2, 3]).copy()
    [blob] = cache_files(small_folder)
    whole = blob.read_bytes()
    for damaged in (b"", b"damaged", whole[: len(whole) // 2]):
        blob.write_bytes(damaged)
        assert np.array_equal(open_model(small_folder, paged=False).new_cache().feed([1, 2, 3]), expected)
        assert blob.stat().st_size > 0.9 * len(whole)


def test_a_folder_that_cannot_be_written_is_loaded_without_a_cache(small_folder: Path):
    (small_folder / "model_cache").touch()  # a file where the cache's folder would be
    assert compile_cache(small_folder) == {}
    open_model(small_folder, paged=False)


def test_both_graphs_of_a_model_have_the_arithmetic_that_was_chosen(tiny_folders, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("llm_chatbot.engine.model.faster_arithmetic", lambda graph, properties: {GROUP_SIZE: "64"})
    model = open_model(tiny_folders["mpt"])
    assert model.paged is not None and isinstance(model.paged.runner, PagedRunner)
    assert [each.get_property(GROUP_SIZE) for each in (model.paged.runner.compiled, model.compiled)] == [64, 64]


def test_exact_hints_are_not_changed(tiny_folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path))
    monkeypatch.setattr("llm_chatbot.engine.graph.arithmetic.LEAST_WEIGHTS", 0)
    model = open_model(tiny_folders["mpt"], ov_config=EXACT, paged=False)
    assert model.compiled.get_property(GROUP_SIZE) == 0
    assert not list(tmp_path.iterdir())


ANSWER = """
import sys
from pathlib import Path
from llm_chatbot.engine.loading import open_files, open_model
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.engine.session import ChatSession
files = open_files(Path(sys.argv[1]))
session = ChatSession(open_model(files, ov_config=EXACT, cache_on_disk=True), files.tokenizer)
*_, answer = session.stream(sys.argv[2], max_new_tokens=24)
print(answer.text)
"""  # greedy, with nothing rounded but the weights


def test_a_conversation_goes_on_after_a_restart_without_being_read_again(
    embedded_folder: Path, exact_model, tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    long = "".join(f"Item {number} costs {number * 7 % 13} dollars. " for number in range(20)) + "What costs item 3?"
    questions = (long, "And item 4?")
    reference = ChatSession(exact_model, tokenizer)
    expected = [final(reference, question, max_new_tokens=24) for question in questions]

    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path))
    command = [sys.executable, "-c", ANSWER, str(embedded_folder), long]
    first = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert first.stdout.strip() == expected[0].text, first.stderr
    session = ChatSession(open_model(embedded_folder, ov_config=EXACT, cache_on_disk=True), tokenizer)
    session.messages = list(reference.messages[:2])
    second = final(session, questions[1], max_new_tokens=24)
    assert second.text == expected[1].text and second.cached_tokens > 0.9 * expected[0].prompt_tokens
