"""Names of models with adapters."""

from pathlib import Path

import pytest

from llm_chatbot.catalogue.adapter_names import AdapterSource, split_adapters, with_adapters
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.errors import UserError
from llm_chatbot.folder.place import model_folder
from llm_chatbot.folder.served import served_name


@pytest.fixture
def lora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "loras" / "my+lora"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    return folder


def test_a_name_is_the_models_and_the_adapters(lora: Path):
    name = with_adapters("qwen3-0.6b", ["loras/my+lora:0.5", "org/adapter"])
    assert split_adapters(name) == ("qwen3-0.6b", ["loras/my+lora:0.5", "org/adapter"])
    config = get_model_config(name)
    assert config.adapters == (AdapterSource(Path("loras/my+lora"), 0.5), AdapterSource("org/adapter"))
    assert config.model_id == "Qwen/Qwen3-0.6B"
    assert get_model_config("qwen3-0.6b+org/adapter:-2").adapters == (AdapterSource("org/adapter", -2.0),)


def test_the_folder_and_the_served_name_have_no_paths(lora: Path):
    name = f"qwen3-0.6b+{lora}:0.5+org/adapter"
    assert model_folder(name, "INT4").parent == Path("qwen3-0.6b+my+lora@0.5+org--adapter")
    assert served_name(name, get_model_config(name)) == "qwen3-0.6b+my+lora:0.5+org/adapter"


def test_a_folder_with_a_plus_is_no_adapter(lora: Path):
    (lora / "config.json").write_text("{}", encoding="utf-8")
    config = get_model_config("loras/my+lora")
    assert (config.checkpoint, config.adapters) == (Path("loras/my+lora"), ())
    assert model_folder("loras/my+lora", "INT4").parent == Path("my+lora")


@pytest.mark.parametrize("name", ["nowhere", "no/where/at/all", "", "file.gguf"])
def test_an_adapter_that_is_nowhere_is_refused(name: str):
    with pytest.raises(UserError, match="no adapter"):
        get_model_config(f"qwen3-0.6b+{name}+org/adapter")


def test_a_folder_without_an_adapter_is_refused(lora: Path):
    with pytest.raises(UserError, match=r"loras is no adapter: it has no adapter_config\.json"):
        get_model_config("qwen3-0.6b+loras")
