from dataclasses import replace
from pathlib import Path

from gguf import GGMLQuantizationType as GGML

from llm_chatbot.catalogue.rows import DEFAULT_MODEL, SUPPORTED_LLM_MODELS
from llm_chatbot.lesson.precisions import precision_names
from tests.gguf_files import MERGES, write_model

OTHERS = {"INT4": "INT4", "INT8": "INT8", "FP16": "FP16"}


def test_a_gguf_files_own_precision_comes_first_by_its_name(tmp_path: Path):
    config = SUPPORTED_LLM_MODELS[DEFAULT_MODEL]
    assert list(precision_names(config).items()) == [("GGUF", "Q4_1, as in the file"), *OTHERS.items()]
    write_model(tmp_path / "small.gguf", "llama", [GGML.Q8_0], MERGES)
    local = replace(config, checkpoint=tmp_path / "small.gguf")
    assert precision_names(local)["GGUF"] == "Q8_0, as in the file"


def test_others_have_none():
    assert precision_names(SUPPORTED_LLM_MODELS["qwen3-8b"]) == OTHERS
