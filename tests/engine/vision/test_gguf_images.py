"""Conversations with pictures on GGUF files and their `mmproj`, compared with Transformers' own forward."""

from pathlib import Path

import numpy as np
import pytest

from llm_chatbot.engine.gguf_file import GGUFFile
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from tests import small_image_checkpoints
from tests.engine.vision.test_image_models import (
    CLOSE,
    CONVERSATIONS,
    HIGH,
    WIDE,
    Small,
    answered,
    our_logits,
    read,
    said,
    their_logits,
)
from tests.small_mmproj import KINDS, write_pair


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {name: small_image_checkpoints.write(name, folder / name) for name in KINDS}


@pytest.fixture(scope="module", params=KINDS)
def pair(request, checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Small:
    path, _ = write_pair(checkpoints[request.param], tmp_path_factory.mktemp("pairs") / request.param)
    return opened(checkpoints[request.param], path)


def opened(checkpoint: Path, path: Path) -> Small:
    """The model of a file with what lies beside it."""
    model = open_model(path, ov_config=EXACT, kv_cache_gb=0.01)
    return Small(checkpoint, path, model, GGUFFile(path).tokenizer)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_logits_of_a_pair_are_those_of_transformers(pair: Small, name: str):
    ours, theirs = our_logits(pair, CONVERSATIONS[name]), their_logits(pair, CONVERSATIONS[name])
    assert np.abs(ours - theirs).max() < CLOSE and np.abs(theirs).max() > 0.1


def test_a_picture_in_16_bits_is_close_to_that_in_32(pair: Small):
    """Positions of pictures are computed exactly whatever the activations are."""
    faster = Small(pair.checkpoint, pair.folder, open_model(pair.folder, kv_cache_gb=0.01), pair.tokenizer)
    messages = [said("What is the capital of France? " * 30, WIDE, "and", HIGH, "Which one?")]
    assert np.abs(our_logits(faster, messages) - our_logits(pair, messages)).max() < 0.05


def test_the_same_picture_is_read_once(pair: Small):
    text = "This is the picture of a new conversation, and it says what comes next: "
    first, again = (answered(pair, [said(text, WIDE, "One?")]) for _ in range(2))
    assert again.cached_tokens > first.cached_tokens and again.text == first.text


def test_files_of_older_scripts_have_two_names_interchanged(checkpoints: dict[str, Path], tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tests.small_mmproj.OLDER_NAMES", True)
    path, _ = write_pair(checkpoints["llava"], tmp_path, **{"vision.feature_layer": None, "clip.projector_type": None})
    small = opened(checkpoints["llava"], path)
    messages = CONVERSATIONS["a picture first"]
    assert np.abs(our_logits(small, messages) - their_logits(small, messages)).max() < CLOSE


def test_a_template_that_takes_a_text_alone_has_the_picture_in_it(checkpoints: dict[str, Path], tmp_path: Path):
    """As those of LLaVA's files, whose vocabulary has no token for a picture either."""
    path, _ = write_pair(checkpoints["llava"], tmp_path)
    small = opened(checkpoints["llava"], path)
    expected = [id for id in read(small, [said(WIDE, "What?", HIGH, "is it?")])[0] if id < 0]
    small.tokenizer.chat_template = "{% for message in messages %}USER: {{ message['content'] }}{% endfor %}"
    assert small.model.images is not None
    small.model.images.processor.token = small.model.images.processor.row_token = "<picture>"
    ids, _ = read(small, [said(WIDE, "What <picture>", HIGH, "is it?")])
    assert [id for id in ids if id < 0] == expected
    around = "".join(small.tokenizer.decode([id]) if id >= 0 else "#" for id in ids).split("#" * 9)
    assert [text.replace(" ", "") for text in around] == ["USER:", "What<picture>", "isit?"]


def test_without_a_file_beside_it_the_model_reads_text(pair: Small, tmp_path: Path):
    alone = tmp_path / "model.gguf"
    alone.write_bytes(pair.folder.read_bytes())
    model = open_model(alone, ov_config=EXACT, kv_cache_gb=0.01)
    assert model.images is None
    expected = our_logits(pair, CONVERSATIONS["no picture"])[-1]
    ids, _ = read(pair, CONVERSATIONS["no picture"])
    np.testing.assert_allclose(model.new_cache().feed(ids), expected, atol=CLOSE)


def test_a_pair_runs_without_a_pool(pair: Small):
    model = open_model(pair.folder, ov_config=EXACT, paged=False)
    ids, _ = read(pair, CONVERSATIONS["no picture"])
    expected = our_logits(pair, CONVERSATIONS["no picture"])[-1]
    np.testing.assert_allclose(model.new_cache().feed(ids), expected, atol=CLOSE)


def test_what_was_made_for_another_model_is_refused_by_name_and_shape(checkpoints: dict[str, Path], tmp_path: Path):
    path, _ = write_pair(checkpoints["llava"], tmp_path / "llava")
    _, wider = write_pair(checkpoints["gemma3"], tmp_path / "wider", **{"vision.projection_dim": 96})
    _, with_axes = write_pair(checkpoints["qwen2_vl"], tmp_path / "qwen")
    with pytest.raises(UserError, match=r"mmproj-model-f16\.gguf makes vectors of 96 numbers .*model\.gguf reads 64"):
        GGUFFile(path, mmproj=wider)
    deep, _ = write_pair(checkpoints["qwen3_vl"], tmp_path / "deep")
    with pytest.raises(UserError, match=r"makes vectors of 64 numbers .*model\.gguf reads 192"):
        GGUFFile(deep, mmproj=with_axes)
    with pytest.raises(UserError, match=r"positions have axes, which .*model\.gguf \(llama\) has not"):
        GGUFFile(path, mmproj=with_axes)
    with pytest.raises(UserError, match=r"no mmproj file: it holds a model of the architecture 'llama'"):
        GGUFFile(path, mmproj=path)


def test_of_files_beside_a_model_the_one_that_fits_is_taken(
    checkpoints: dict[str, Path], tmp_path: Path, logged: pytest.LogCaptureFixture
):
    path, own = write_pair(checkpoints["llava"], tmp_path)
    _, unknown = write_pair(checkpoints["llava"], tmp_path / "unknown", **{"clip.projector_type": "resampler"})
    file = GGUFFile(path, mmproj=[unknown, own])
    assert file.images is not None and own in file.graph_files and unknown not in file.graph_files
    assert "projector of the type 'resampler', which is not supported" in logged.text
    assert GGUFFile(path, mmproj=[unknown]).images is None
    other = own.with_name("mmproj-other.gguf")
    other.write_bytes(own.read_bytes())
    with pytest.raises(UserError, match=r"files fit .*model\.gguf: mmproj-model-f16\.gguf, mmproj-other\.gguf"):
        GGUFFile(path, mmproj=[own, other])
