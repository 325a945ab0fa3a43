import os
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from config import (
    DEFAULT_MODEL,
    EXAMPLE_QUESTIONS,
    SUPPORTED_LLM_MODELS,
    ModelConfig,
    UserError,
    get_model_config,
)

# What a user may have set to decide otherwise.
REPORTING = ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY")


def test_the_default_model_is_in_the_catalogue():
    assert get_model_config(DEFAULT_MODEL) is SUPPORTED_LLM_MODELS[DEFAULT_MODEL]


def test_an_unknown_name_is_refused_with_the_names_that_there_are():
    with pytest.raises(ValueError, match="smollm2-135m-instruct"):
        get_model_config("smollm")


def test_a_repository_of_the_hub_is_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    config = get_model_config("org/some-model_1.0")
    assert (config.model_id, config.checkpoint) == ("org/some-model_1.0", None)


@pytest.mark.parametrize("name", ["./folder", "../org/name", "a/b/c", "/org", "org/", "org name/x", "x.gguf", ""])
def test_what_is_neither_a_repository_nor_there_is_refused(name: str):
    with pytest.raises(UserError, match=r"a folder with a config\.json"):
        get_model_config(name)


def test_a_folder_with_a_config_is_a_model_even_where_it_looks_like_a_repository(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("org/name")
    folder.mkdir(parents=True)
    assert get_model_config("org/name").checkpoint is None
    (folder / "config.json").touch()
    for name in ("org/name", str(folder.resolve())):
        config = get_model_config(name)
        assert (config.model_id, config.checkpoint) == ("name", Path(name))


def test_a_gguf_file_is_a_model(tmp_path: Path):
    path = tmp_path / "My-1B.Q4_K_M.gguf"
    path.touch()
    config = get_model_config(str(path))
    assert (config.model_id, config.checkpoint) == ("My-1B.Q4_K_M", path)


@pytest.mark.parametrize("config", SUPPORTED_LLM_MODELS.values(), ids=SUPPORTED_LLM_MODELS)
def test_every_row_is_complete(config: ModelConfig):
    assert "/" in config.model_id
    assert config.description.endswith(".")
    assert config.parameters
    assert config.int4.mode in ("INT4_SYM", "INT4_ASYM")
    assert 0 < config.int4.ratio <= 1
    assert len(EXAMPLE_QUESTIONS[config.language]) == 7


def test_rows_cannot_be_changed_by_accident():
    with pytest.raises(FrozenInstanceError):
        SUPPORTED_LLM_MODELS[DEFAULT_MODEL].license = "none"  # type: ignore[misc]


def test_user_errors_are_value_errors():
    assert issubclass(UserError, ValueError)


def test_importing_the_catalogue_imports_nothing_heavy():
    script = """
import sys
import config
heavy = {"torch", "transformers", "openvino", "nncf", "gradio", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["checkpoints", "converter", "model_folder", "ov_llm_model", "chat_ui"])
def test_no_library_reports_usage(module: str, tmp_path: Path):
    """OpenVINO's and NNCF's telemetry would write an id of this machine to the home folder at import."""
    script = f"""
import {module}, nncf, openvino.tools.ovc, gradio.analytics, huggingface_hub.constants
assert not gradio.analytics.analytics_enabled()
assert huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY
"""
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", *REPORTING)}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**environment, "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "intel").exists()
