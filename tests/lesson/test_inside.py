"""The embedded model's inner values against its own logits, and against NumPy with the weights of the file."""

from pathlib import Path

import numpy as np
import pytest
from gguf import dequantize

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.decoder.build import build_decoder
from llm_chatbot.engine.decode.sampling import log_softmax
from llm_chatbot.engine.files import FolderFiles
from llm_chatbot.engine.gguf_file import GGUFFile
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.header import GGUFHeader, read_gguf_header
from llm_chatbot.lesson.inside import LayerReading, OpenedGraph
from llm_chatbot.lesson.layers import layer_steps
from llm_chatbot.sources.gguf_files import gguf_path
from tests.decoder.small_decoders import CONTEXT, IDS, SMALL, write

TEXT = "The capital of France is Paris, and the capital of Italy is"


@pytest.fixture(scope="module")
def file() -> GGUFFile:
    return GGUFFile(gguf_path(get_model_config(DEFAULT_MODEL)))


@pytest.fixture(scope="module")
def opened(file: GGUFFile) -> OpenedGraph:
    return OpenedGraph(file.read_graph())


@pytest.fixture(scope="module")
def reading(file: GGUFFile, opened: OpenedGraph) -> LayerReading:
    return opened.read(file.tokenizer(TEXT)["input_ids"])


def test_the_last_layer_says_what_the_model_says(file: GGUFFile, opened: OpenedGraph, reading: LayerReading):
    said = opened.next_tokens(reading.stream)
    assert said.shape == (opened.num_layers + 1, len(reading.ids), 49152)
    np.testing.assert_allclose(said[-1], log_softmax(reading.logits), atol=1e-4)
    assert np.abs(said[-2] - said[-1]).max() > 1
    assert file.tokenizer.decode([said[-1, -1].argmax()]) == " Rome"


def test_the_stream_begins_with_the_embeddings(file: GGUFFile, reading: LayerReading):
    header = read_gguf_header(file.path)
    np.testing.assert_allclose(reading.stream[0], tensor(header, "token_embd.weight")[reading.ids], atol=1e-6)


def test_attention_is_shared_out_among_a_token_and_those_before_it(reading: LayerReading):
    np.testing.assert_allclose(reading.attention.sum(-1), 1, atol=1e-5)
    assert np.triu(reading.attention, 1).max() == 0 <= reading.attention.min()


@pytest.mark.parametrize("layer", [0, 16, 29])
def test_attention_is_what_numpy_makes_of_the_files_weights(layer: int, file: GGUFFile, reading: LayerReading):
    expected = attention(read_gguf_header(file.path), layer, reading.stream[layer])
    np.testing.assert_allclose(reading.attention[layer], expected, atol=1e-3)
    assert np.abs(reading.attention[layer] - reading.attention[layer - 1]).max() > 0.1


def test_a_folder_is_opened_like_the_file_that_it_was_made_of(embedded_folder: Path, reading: LayerReading):
    found = OpenedGraph(FolderFiles(embedded_folder).read_graph()).read(reading.ids)
    np.testing.assert_allclose(found.attention, reading.attention, atol=2e-3)
    np.testing.assert_allclose(found.logits, reading.logits, atol=2e-3)


def test_a_traced_graph_is_opened_too(published: Path):
    """A small Qwen 3 that Transformers and Optimum Intel have exported."""
    opened = OpenedGraph(FolderFiles(published).read_graph())
    found = opened.read([1, 5, 9, 7])
    np.testing.assert_allclose(opened.next_tokens(found.stream[-1:])[0], log_softmax(found.logits), atol=1e-4)
    np.testing.assert_allclose(found.attention.sum(-1), 1, atol=1e-5)
    steps = layer_steps(FolderFiles(published).read_graph(), 0)
    products = {step.name for step in steps if step.kind == "product"}
    assert products == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert [step.kind for step in steps].count("rotary") == 2


@pytest.mark.parametrize("name", ["falcon", "gpt2", "gpt-oss", "deepseek2", "granite"])
def test_other_architectures_are_opened_too(name: str, tmp_path: Path):
    write(path := tmp_path / "small.gguf", SMALL[name])
    opened = OpenedGraph(build_decoder(path, context=CONTEXT))
    found = opened.read(IDS[:20])
    np.testing.assert_allclose(opened.next_tokens(found.stream[-1:])[0], log_softmax(found.logits), atol=1e-4)
    sums = found.attention.sum(-1)
    assert sums.max() < 1.001 and (name == "gpt-oss") == (sums.min() < 0.999)  # whose sinks take some


@pytest.mark.parametrize("name", ["gemma2", "gemma4"])
def test_a_graph_of_another_form_is_refused_in_a_sentence(name: str, tmp_path: Path):
    write(path := tmp_path / "small.gguf", SMALL[name])
    with pytest.raises(UserError, match="choose a model of another architecture"):
        OpenedGraph(build_decoder(path, context=CONTEXT))


def tensor(header: GGUFHeader, name: str) -> np.ndarray:
    """A tensor of the file as llama.cpp's own Python package unpacks it."""
    info = header.tensors[name]
    data = np.frombuffer(info.path.read_bytes(), np.uint8, info.size, info.offset)
    return dequantize(data.reshape(*info.shape[:-1], -1), info.type).astype(np.float32).reshape(info.shape)


def attention(header: GGUFHeader, layer: int, stream: np.ndarray) -> np.ndarray:
    """The attention of a Llama, float32 [heads, T, T]: of neighbours that rotate together, as its files have them."""
    fields, size = header.fields, 64
    epsilon, base = (fields[f"llama.{key}"] for key in ("attention.layer_norm_rms_epsilon", "rope.freq_base"))
    x = (
        stream
        / np.sqrt((stream**2).mean(-1, keepdims=True) + epsilon)
        * tensor(header, f"blk.{layer}.attn_norm.weight")
    )
    angles = np.arange(len(x))[:, None] * base ** (-np.arange(0, size, 2) / size)
    turn = np.exp(1j * angles)[:, None]

    def heads(name: str) -> np.ndarray:
        made = (x @ tensor(header, f"blk.{layer}.{name}.weight").T).reshape(len(x), -1, size)
        return (made[..., 0::2] + 1j * made[..., 1::2]) * turn

    queries, keys = heads("attn_q"), heads("attn_k")
    keys = keys.repeat(queries.shape[1] // keys.shape[1], axis=1)
    scores = np.einsum("qhs,khs->hqk", queries, keys.conj()).real / np.sqrt(size)
    scores[:, np.triu(np.ones((len(x), len(x)), bool), 1)] = -np.inf
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
