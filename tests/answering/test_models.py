import gc
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from llm_chatbot.answering import models
from llm_chatbot.answering.models import LoadedModel, ModelPool, open_loaded_model
from llm_chatbot.answering.question import Question
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.errors import UserError
from llm_chatbot.folder.place import AS_IN_FILE

ROOT = Path(__file__).resolve().parents[2]
FAKE = SimpleNamespace(context_length=64)


def of(conversation: str) -> Question:
    return Question(conversation=conversation, keeps_session=True)


def loaded(model, tokenizer, name: str, precision: str = "", device: str = "") -> LoadedModel:
    return LoadedModel(model, tokenizer, get_model_config(DEFAULT_MODEL), name, precision, device)


def test_conversations_share_a_model_and_one_that_is_neither_the_pages_nor_the_latest_is_freed(models_root: Path):
    own = loaded(FAKE, None, "a model")
    pool = ModelPool(models_root, own)
    other = pool.get((DEFAULT_MODEL, "INT4", "CPU"))
    assert pool.get((DEFAULT_MODEL, "INT4", "CPU")) is other
    assert len(pool._models) == 2
    del other
    pool.get((DEFAULT_MODEL, "INT8", "CPU"))
    gc.collect()
    assert {it.precision for it in pool._models.values()} == {"", "INT8"}


def test_a_conversation_finds_its_session_again_and_old_ones_are_dropped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models, "KEPT_SESSIONS", 2)
    monkeypatch.setattr(LoadedModel, "new_session", lambda self: object())
    own = loaded(FAKE, None, "a model")
    with own.session(of("a")) as first, own.session(of("a")) as beside:
        assert beside is not first  # two branches at a time
    for conversation in "bc":
        with own.session(of(conversation)):
            pass
    with own.session(of("a")) as later:
        assert later is not first


def test_a_name_that_looks_like_a_title_is_another_model():
    model = loaded(FAKE, None, "a", "INT4", "CPU")
    pool = ModelPool(Path("nowhere"), model)
    assert pool.get(("a", "INT4", "CPU")) is model and model.title == "a · INT4 · CPU"
    assert loaded(FAKE, None, model.title).title == model.title
    with pytest.raises(UserError):
        pool.get(("a · INT4", "CPU", ""))


def test_a_model_that_was_not_converted_is_refused_with_the_remedy(tmp_path: Path):
    with pytest.raises(UserError, match=r"python converter.py .* --precision INT8"):
        open_loaded_model(DEFAULT_MODEL, "INT8", "CPU", tmp_path)


def test_importing_the_page_imports_nothing_that_only_a_model_needs():
    script = "import sys, llm_chatbot.page.app; print({'torch', 'optimum', 'nncf', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


# The memory of idle models

IDLE = """
import sys, threading, time
from pathlib import Path
import psutil
from llm_chatbot.answering.models import ModelPool, open_loaded_model
from llm_chatbot.answering.question import Question

def megabytes():
    info = psutil.Process().memory_info()
    return (info.rss - getattr(info, "shared", 0)) // 1_000_000

def answer(loaded):
    with loaded.session(Question(conversation="conversation", keeps_session=True)) as session:
        *_, last = session.answer([{"role": "user", "content": "Name the capital of France."}], max_new_tokens=8)
    return last.text

def wait_until_below(size):
    end = time.monotonic() + 60
    while megabytes() >= size and time.monotonic() < end:
        time.sleep(0.05)

own = open_loaded_model(sys.argv[2], "FP16", "CPU", Path(sys.argv[1]), kv_cache_gb=0.1)
first, full = answer(own), megabytes()
pool = ModelPool(Path(sys.argv[1]), own, idle=0.2)
wait_until_below(full - 200)
freed, context = megabytes(), own.context_length
pool.close()  # so that it isn't freed again before it is measured
again = answer(own)
print(full, freed, megabytes(), context, "Paris" in first, "Paris" in again)
"""


def test_an_idle_model_is_freed_and_loaded_again_at_the_next_question(models_root: Path):
    """The weights are 269 MB of the process's own memory, so at least 200 MB are returned."""
    command = [sys.executable, "-c", IDLE, str(models_root), DEFAULT_MODEL]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    full, freed, again, context, *answers = done.stdout.split()
    assert int(freed) < int(full) - 200 < int(again)
    assert int(context) > 0 and answers == ["True", "True"]


def reopened(opened: list[SimpleNamespace]) -> LoadedModel:
    """A fake model that notes in `opened` when it is loaded again."""

    def reopen() -> SimpleNamespace:
        opened.append(SimpleNamespace(context_length=64))
        return opened[-1]

    return LoadedModel(FAKE, None, get_model_config(DEFAULT_MODEL), "a", "INT4", "CPU", reopen)  # type: ignore[arg-type]


def test_a_model_in_use_is_not_freed_and_one_that_cannot_be_loaded_again_never(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(LoadedModel, "new_session", lambda self: object())
    opened: list[SimpleNamespace] = []
    model = reopened(opened)
    with model.session(of("conversation")):
        assert not model.free(idle=0)
    assert not model.free(idle=60)
    assert model.free(idle=0) and not model.free(idle=0) and not opened
    assert model.model is opened[0] and model.context_length == 64
    assert not loaded(FAKE, None, "a").free(idle=0)


def test_what_was_freed_is_not_held_by_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoadedModel, "new_session", lambda self: SimpleNamespace(model=self.model))
    model = reopened([])
    with model.session(of("conversation")) as first:
        pass
    assert model.free(idle=0)
    with model.session(of("conversation")) as second:
        assert second is not first and vars(second)["model"] is model.model


def test_a_closed_pool_frees_nothing_any_more():
    model = reopened([])
    pool = ModelPool(Path("nowhere"), model, idle=0.4)
    pool.close()
    time.sleep(0.6)
    assert model._model is not None


def test_a_page_opens_no_other_file_as_it_is(tmp_path: Path):
    """Whoever may use a page chooses among converted models, and not any file of this machine."""
    (tmp_path / "other.gguf").touch()
    pool = ModelPool(tmp_path, loaded(FAKE, None, DEFAULT_MODEL, AS_IN_FILE, "CPU"))
    with pytest.raises(UserError, match="GGUF is missing or incomplete"):
        pool.get((str(tmp_path / "other.gguf"), AS_IN_FILE, "CPU"))
