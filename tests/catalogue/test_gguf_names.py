import pytest

from llm_chatbot.catalogue.gguf_names import (
    HubGGUF,
    chosen_mmproj,
    gguf_source,
    is_first_part,
    is_language_model,
    quantization_in,
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


@pytest.mark.parametrize(
    ("model", "others", "chosen"),
    [
        ("X-Q8_0.gguf", ["mmproj-F32.gguf", "mmproj-BF16.gguf", "mmproj-F16.gguf"], "mmproj-F16.gguf"),
        ("X-Q8_0.gguf", ["mmproj-Q8_0.gguf", "mmproj-F32.gguf", "mmproj-BF16.gguf"], "mmproj-BF16.gguf"),
        ("X-Q8_0.gguf", ["mmproj-X-Q8_0.gguf", "mmproj-X-fp16.gguf"], "mmproj-X-fp16.gguf"),
        ("X-F16.gguf", ["mmproj-Y-F16.gguf", "mmproj-X-Q8_0.gguf"], "mmproj-X-Q8_0.gguf"),
        ("Q8_0/X-Q8_0-00001-of-00002.gguf", ["mmproj-F16.gguf", "a/mmproj-F16.gguf"], "mmproj-F16.gguf"),
        ("Q8_0/X-Q8_0.gguf", ["mmproj-F16.gguf", "Q8_0/mmproj-F32.gguf"], "Q8_0/mmproj-F32.gguf"),
        ("X-Q8_0.gguf", ["a/mmproj-F16.gguf", "Y-mmproj-F16.gguf", "X-F16.gguf"], None),
    ],
)
def test_the_image_encoder_of_a_repository_is_chosen_by_place_name_and_precision(model, others, chosen):
    assert chosen_mmproj(model, [model, *others]) == chosen


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        ("X-Q4_K_M.gguf", "Q4_K_M"),
        ("x.iq3_xxs-00001-of-00002.gguf", "IQ3_XXS"),
        ("X-BF16.gguf", "BF16"),
        ("X-TQ1_0.gguf", "TQ1_0"),
        ("Xf16", ""),
    ],
)
def test_a_name_says_how_a_file_is_quantized(name: str, quantization: str):
    assert quantization_in(name) == quantization
