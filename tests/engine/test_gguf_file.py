"""A GGUF file that is chatted with as it is."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from gguf import GGMLQuantizationType as GGML
from gguf import TokenType

from llm_chatbot.answering.models import open_loaded_model
from llm_chatbot.catalogue.chat_formats import ChatFormat
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.decoder.memory import FileMemory
from llm_chatbot.engine.gguf_file import GGUFFile, OwnedWeights
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.engine.session import ChatSession
from llm_chatbot.engine.text.tokenizer import FolderTokenizer
from llm_chatbot.errors import UserError
from llm_chatbot.folder.place import AS_IN_FILE
from llm_chatbot.gguf import header
from llm_chatbot.sources.gguf_files import gguf_path
from tests.gguf_files import MERGES, write_model
from tests.vocabularies import write_gguf

QUESTION = "Why is the sky blue?"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.gguf"
    write_model(path, "llama", (GGML.Q8_0,), MERGES)
    return path


def test_the_file_answers_as_its_converted_folder_does(embedded_folder: Path):
    file = GGUFFile(gguf_path(get_model_config(DEFAULT_MODEL)))
    models = [open_model(opened, ov_config=EXACT) for opened in (embedded_folder, file)]
    tokenizers = [FolderTokenizer(embedded_folder), file.tokenizer]
    ids = tokenizers[0](QUESTION, add_special_tokens=False)["input_ids"] * 20
    of_folder, of_file = (model.new_cache().feed(ids) for model in models)
    np.testing.assert_allclose(of_file, of_folder, atol=1e-3)
    sessions = [ChatSession(model, tokenizer) for model, tokenizer in zip(models, tokenizers, strict=True)]
    texts = [list(session.stream(QUESTION, max_new_tokens=30))[-1].text for session in sessions]
    assert texts[0] == texts[1] and texts[0]
    assert models[0].stop_ids == models[1].stop_ids
    assert models[0].context_length == models[1].context_length
    assert all(model.paged is not None for model in models)


@pytest.mark.parametrize(("available", "size"), [(1000, 0), (2**40, 2**30)], ids=["short of memory", "a small model"])
def test_where_memory_is_short_or_a_model_small_weights_are_in_a_file_that_ends_with_them(
    available: int, size: int, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path))
    monkeypatch.setattr("llm_chatbot.engine.gguf_file.SMALL", 0)
    assert isinstance(GGUFFile(small).map_graph()[1], OwnedWeights)
    expected = open_model(small, kv_cache_gb=1e-2, ov_config=EXACT).new_cache().feed([1, 2, 3])
    monkeypatch.setattr("llm_chatbot.engine.gguf_file.SMALL", size)
    monkeypatch.setattr("llm_chatbot.engine.gguf_file.available_memory", lambda: available)
    assert isinstance(GGUFFile(small).map_graph()[1], FileMemory)
    model = open_model(small, kv_cache_gb=1e-2, ov_config=EXACT)
    np.testing.assert_array_equal(model.new_cache().feed([1, 2, 3]), expected)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}


@pytest.mark.parametrize(("available", "said"), [(1000, True), (2**40, False)], ids=["short of memory", "enough"])
def test_without_such_a_file_the_weights_are_in_memory(
    available: int, said: bool, small: Path, logged: pytest.LogCaptureFixture
):
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        patch("llm_chatbot.engine.gguf_file.available_memory", return_value=available),
        patch("tempfile.TemporaryFile", side_effect=full),
    ):
        assert isinstance(GGUFFile(small).map_graph()[1], OwnedWeights)
    assert ("No space left on device" in logged.text) is said


def test_what_is_known_of_a_model_comes_from_its_header(small: Path):
    file = GGUFFile(small)
    assert file.config == {"model_type": "llama", "max_position_embeddings": 256}
    assert file.label == "Q8_0, as in the file"
    model = open_model(small, kv_cache_gb=1e-2)
    assert model.trained_context == 256 and model.stop_ids == file.stop_ids == {len(MERGES) + 256 + 1}
    assert list(small.parent.iterdir()) == [small]


def test_the_file_runs_without_a_pool(small: Path):
    ids = [1, 2, 3, 4]
    with_pool, without = (open_model(small, ov_config=EXACT, kv_cache_gb=1e-2, paged=paged) for paged in (True, False))
    np.testing.assert_allclose(with_pool.new_cache().feed(ids), without.new_cache().feed(ids), atol=1e-3)


def test_the_catalogues_chat_format_is_the_files(small: Path):
    file = GGUFFile(small, ChatFormat(template="{{ messages[0]['content'] }}!", stop_tokens=("<|begin|>",)))
    assert file.tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}]) == "Hi!"
    begin, end = (file.tokenizer.backend_tokenizer.token_to_id(token) for token in ("<|begin|>", "<|end|>"))
    assert file.stop_ids == {begin, end}
    with pytest.raises(UserError, match="lacks the stop tokens <eot>"):
        GGUFFile(small, ChatFormat(stop_tokens=("<eot>",))).stop_ids  # noqa: B018


def test_a_template_that_fills_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file is data from strangers, and its template a program."""
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path))
    settings = {"chat_template": "{% for i in range(99999) %}much text {% endfor %}"}
    write_gguf(tmp_path / "long.gguf", "gpt2", "gpt-2", ["a"], [TokenType.NORMAL], **settings)
    with pytest.raises(UserError, match=r"long\.gguf"):
        GGUFFile(tmp_path / "long.gguf").stop_ids  # noqa: B018


def test_the_header_is_read_once_for_a_chat(small: Path, tmp_path: Path):
    with patch.object(header, "_read_one", side_effect=header._read_one) as counted:
        loaded = open_loaded_model(str(small), AS_IN_FILE, "CPU", tmp_path, kv_cache_gb=1e-2)
        *_, answer = loaded.new_session().complete("Hello", max_new_tokens=2)
    assert answer.text and "Q8_0, as in the file" in loaded.title
    assert counted.call_count == 1


def test_learned_positions_end_with_the_context(tmp_path: Path):
    write_model(tmp_path / "small.gguf", "gpt2", (GGML.Q8_0,), MERGES)
    model = open_model(tmp_path / "small.gguf", kv_cache_gb=1e-2)
    assert not model.can_exceed_context and model.max_length == 1024


def test_neither_pytorch_nor_transformers_optimum_or_nncf_is_imported_to_ask(tmp_path: Path):
    code = (
        "import sys; from llm_chatbot.commands.main import main;"
        f"main(['ask', {DEFAULT_MODEL!r}, 'Name the capital of France.', '--max-new-tokens', '8']);"
        "print([name for name in ('torch', 'transformers', 'optimum', 'nncf') if name in sys.modules])"
    )
    environment = {**os.environ, "LLM_CHATBOT_MODELS": str(tmp_path / "models")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer, imported = done.stdout.strip().splitlines()
    assert "Paris" in answer and imported == "[]"
    assert list(tmp_path.iterdir()) == []
