import pytest

from llm_chatbot.catalogue.gguf_names import (
    HubGGUF,
    gguf_source,
    is_first_part,
    is_language_model,
    unsplit_name,
    without_suffix,
)

MODELS = (
    *("X-Q8_0.gguf", "X-Q8_0.GGUF", "X-MTP-Q8_0.gguf", "X-without-mmproj-Q4_0.gguf", "X-no-mmproj-Q4_0.gguf"),
    *("X-imatrix-Q4_K_M.gguf", "X-Q4_K_M-imat.gguf", "X-DRAFT-0.6B-Q4_0.gguf", "sub/X-Q4_0-00001-of-00002.gguf"),
)
OTHERS = (
    *("mmproj-X-F16.gguf", "MMPROJ-X-F16.gguf", "X-mmproj-F16.gguf", "X.mmproj-f16.gguf", "sub/mmproj.gguf"),
    *("imatrix.gguf", "imatrix_unsloth.gguf", "X-imatrix.gguf", "X.IMATRIX.GGUF"),
    *("mtp-X-Q8_0.gguf", "MTP-X-Q8_0.gguf", "draft-X.gguf", "drafter-X.gguf", "eagle3-X.gguf", "dflash-X.gguf"),
    *("ggml-vocab-llama.gguf", "X.lora.gguf", "X-Q8_0.safetensors", "X.gguf.part"),
)


@pytest.mark.parametrize("name", MODELS)
def test_a_language_model_is_told_by_its_name(name: str):
    assert is_language_model(name)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_there_for_a_model_is_none(name: str):
    assert not is_language_model(name)


def test_a_suffix_in_capitals_is_one():
    assert without_suffix("X-Q8_0.GGUF") == without_suffix("X-Q8_0.gguf") == "X-Q8_0"
    assert unsplit_name("X-00002-of-00003.GGUF") == "X"
    assert gguf_source("org/repo/X-Q8_0.GGUF") == HubGGUF("org/repo", "X-Q8_0.GGUF")
    assert str(HubGGUF("org/repo", "X-Q8_0.GGUF")) == "org/repo/X-Q8_0.GGUF"


def test_the_first_part_stands_for_all():
    assert is_first_part("X.gguf") and is_first_part("X-00001-of-00003.gguf")
    assert not is_first_part("X-00002-of-00003.gguf")
