from pathlib import Path

from llm_chatbot.answering.models import LoadedModel, ModelPool
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.folder.manifest import MODEL_BIN
from llm_chatbot.folder.place import model_folder
from llm_chatbot.page.model_choices import model_choices


def test_each_model_has_its_size_its_context_and_what_this_page_saw_of_it(
    loaded: LoadedModel, models_root: Path, monkeypatch
):
    monkeypatch.setattr(loaded, "load_seconds", 2.0)
    monkeypatch.setattr(loaded, "tokens_per_second", 80.0)
    choices = {choice.precision: choice for choice in model_choices(ModelPool(models_root, loaded))}
    own, other = choices["INT4"], choices["FP16"]
    assert own.size == (model_folder(DEFAULT_MODEL, "INT4", models_root) / MODEL_BIN).stat().st_size
    assert own.context == other.context == 8192
    assert (own.loaded, own.tokens_per_second, own.load_seconds) == (True, 80.0, 2.0)
    assert not other.loaded and other.tokens_per_second is None
    assert other.size and own.size and other.load_seconds == 2.0 * other.size / own.size


def test_without_a_folder_of_models_there_is_no_choice(loaded: LoadedModel):
    assert model_choices(ModelPool(None, loaded)) == []
