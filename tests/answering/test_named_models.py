"""Models by name, with models of a few lines and a machine of a few bytes."""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llm_chatbot.answering import named_models
from llm_chatbot.answering.errors import NoRoomError
from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.named_models import NamedModels
from llm_chatbot.answering.question import Question
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.folder.served import Source

WEIGHTS, MEMORY = 100, 300  # of each model and of the machine, so two models fit


class Machine:
    """
    Attributes:
        loaded: the names of the models that were loaded, in order.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loaded: list[str] = []
        self.models: Callable[[], NamedModels] = lambda: None  # type: ignore[assignment, return-value]
        weights = folder / "weights.bin"
        weights.write_bytes(bytes(WEIGHTS))

        def files(model: str, precision: str, root: Path, **options: Any) -> SimpleNamespace:
            config = {"max_position_embeddings": 2048, "model": precision}
            return SimpleNamespace(graph_files=[weights], tokenizer=None, config=config, label="")

        def open_model(files: SimpleNamespace, device: str, **options: Any) -> SimpleNamespace:
            self.loaded.append(files.config["model"])
            return SimpleNamespace(context_length=1024, options=options)

        monkeypatch.setattr(named_models, "model_files", files)
        monkeypatch.setattr(named_models.loading, "open_model", open_model)
        monkeypatch.setattr(named_models, "available_memory", self.available)
        monkeypatch.setattr(LoadedModel, "new_session", lambda self: SimpleNamespace(reset=lambda: None))

    def available(self) -> int:
        models = self.models().models.values()
        return MEMORY - int(WEIGHTS * 1.2) * sum(model.is_loaded for model in models)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def named(machine: Machine, names: str, **options: Any) -> NamedModels:
    # The precision says which one it is: the catalogue's row is that of the embedded model for all.
    made = NamedModels({name: Source(DEFAULT_MODEL, name, Path()) for name in names}, "CPU", **options)
    machine.models = lambda: made
    return made


def use(models: NamedModels, name: str) -> LoadedModel:
    loaded = models.get(models.models[name].key)
    with loaded.session(Question(conversation="x")):
        assert loaded.is_loaded
    return loaded


def test_a_model_is_loaded_when_it_is_first_asked_for_and_once(machine: Machine):
    models = named(machine, "abc", kv_cache_gb=0.5)
    assert machine.loaded == [] and [model.context_length for model in models.models.values()] == [2048] * 3
    loaded = use(models, "b")
    assert use(models, "b") is loaded and machine.loaded == ["b"]
    assert loaded.context_length == 1024 and loaded.model.options == {"kv_cache_gb": 0.5}  # type: ignore[attr-defined]


def test_the_one_that_was_used_longest_ago_makes_room(machine: Machine):
    models = named(machine, "abc")
    for name in "abacb":
        use(models, name)
    assert machine.loaded == ["a", "b", "c", "b"]
    assert [name for name, model in models.models.items() if model.is_loaded] == ["b", "c"]


def test_one_that_answers_is_not_freed_and_without_room_there_is_a_sentence(machine: Machine):
    models = named(machine, "abc")
    a, b = (models.get(models.models[name].key) for name in "ab")
    with a.session(Question()):
        use(models, "c")
        assert a.is_loaded and not b.is_loaded
        use(models, "b")
        with b.session(Question()), pytest.raises(NoRoomError, match="c needs about"):
            use(models, "c")
        assert a.is_loaded and b.is_loaded
    use(models, "c")


def test_the_only_one_is_loaded_whatever_the_estimate_says(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    models = named(machine, "a")
    monkeypatch.setattr(named_models, "available_memory", lambda: 1)
    assert use(models, "a").is_loaded


def test_several_that_ask_at_once_get_one_model(machine: Machine):
    models = named(machine, "a")
    threads = [threading.Thread(target=use, args=(models, "a")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert machine.loaded == ["a"]


def wait_until_freed(model: LoadedModel) -> None:
    waiting = threading.Event()
    for _ in range(3000):
        if not model.is_loaded:
            return
        waiting.wait(0.01)
    raise AssertionError("the model stays")


def test_an_idle_one_is_freed(machine: Machine):
    models = named(machine, "ab", idle=0.01)
    wait_until_freed(use(models, "a"))
    models.close()
    assert use(models, "a").is_loaded


def test_a_model_may_have_a_time_of_its_own(machine: Machine):
    models = named(machine, "ab", idle=0.01)
    models.models["a"].keep_alive = math.inf
    first, second = use(models, "a"), use(models, "b")
    wait_until_freed(second)
    models.close()
    assert first.is_loaded
    models = named(machine, "a")
    models.models["a"].keep_alive = 0
    wait_until_freed(use(models, "a"))
    models.close()
