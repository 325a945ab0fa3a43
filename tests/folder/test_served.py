from pathlib import Path

import pytest

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.errors import UserError
from llm_chatbot.folder.served import models_in, served_name


def test_a_file_is_called_by_its_name_alone(tmp_path: Path):
    (file := tmp_path / "Tiny-1B.Q4_0.gguf").touch()
    assert served_name(str(file), get_model_config(str(file))) == "Tiny-1B.Q4_0.gguf"
    assert served_name("org/name", get_model_config("org/name")) == "org/name"


def test_the_models_of_a_folder_are_its_converted_ones_and_its_files(models_root: Path, tmp_path: Path):
    (tmp_path / "tiny.gguf").touch()
    (tmp_path / "notes.txt").touch()
    assert {name: (source.model, source.precision) for name, source in models_in(tmp_path).items()} == {
        "tiny.gguf": (str(tmp_path / "tiny.gguf"), "GGUF")
    }
    (converted,) = models_in(models_root).items()
    assert (converted[0], converted[1].precision) == ("smollm2-135m-instruct", "GGUF")
    assert models_in(models_root, "INT8")[converted[0]].precision == "INT8"


def test_a_folder_without_models_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="There is no model in"):
        models_in(tmp_path)
    with pytest.raises(UserError, match="There is no folder"):
        models_in(tmp_path / "nowhere")
