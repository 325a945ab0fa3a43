import gc
import subprocess
import sys
from pathlib import Path

from config import DEFAULT_MODEL, UserError, get_model_config
from page import models
from page.models import LoadedModel, ModelPool, open_model

import pytest

ROOT = Path(__file__).resolve().parents[2]


def loaded(model, tokenizer, *key: str) -> LoadedModel:
    return LoadedModel(model, tokenizer, get_model_config(DEFAULT_MODEL), *key)


def test_a_model_is_shared_and_of_those_chosen_only_the_latest_is_kept(model, tokenizer, models_root: Path):
    own = loaded(model, tokenizer, "a model")
    pool = ModelPool(models_root, own)
    chosen = pool.get(DEFAULT_MODEL, "INT4", "CPU")
    assert pool.get(DEFAULT_MODEL, "INT4", "CPU") is chosen
    key = chosen.key
    del chosen
    pool.get(DEFAULT_MODEL, "INT8", "CPU")
    gc.collect()
    assert key not in pool._models and len(pool._models) == 2


def test_a_conversation_finds_its_session_again_and_old_ones_are_dropped(model, tokenizer, monkeypatch):
    monkeypatch.setattr(models, "KEPT_SESSIONS", 2)
    own = loaded(model, tokenizer, "a model")
    with own.session("a") as first, own.session("a") as beside:
        assert beside is not first  # two branches at a time
    for conversation in "bc":
        with own.session(conversation):
            pass
    with own.session("a") as later:
        assert later is not first


def test_a_name_that_looks_like_a_title_is_another_model():
    model = loaded(None, None, "a", "INT4", "CPU")
    pool = ModelPool(Path("nowhere"), model)
    assert pool.get("a", "INT4", "CPU") is model and model.title == "a · INT4 · CPU"
    assert loaded(None, None, model.title).title == model.title
    with pytest.raises(UserError):
        pool.get("a · INT4", "CPU", "")


def test_a_model_that_was_not_converted_is_refused_with_the_remedy(tmp_path: Path):
    with pytest.raises(UserError, match=r"python converter.py .* --precision INT8"):
        open_model(DEFAULT_MODEL, "INT8", "CPU", tmp_path)


def test_importing_the_page_imports_nothing_that_only_a_model_needs():
    script = "import sys, page.app; print({'torch', 'optimum', 'nncf', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
