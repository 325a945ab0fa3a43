"""Small models for every kind of attention in the catalogue, and the logits of their stateful graphs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from llm_chatbot.convert.checkpoint.architectures import read_checkpoint
from llm_chatbot.engine.cache.opening import open_paged_model
from llm_chatbot.engine.cache.paged_cache import PagedCache, PagedModel
from llm_chatbot.engine.graph.paged_graph import make_paged
from llm_chatbot.engine.precisions import EXACT as EXACT
from llm_chatbot.engine.qwen import NTK_ALPHA, add_qwen_scaling, ntk_alpha
from tests.tiny_models import export

DATA = Path(__file__).parent / "data"

# Large weights, so that it makes a difference what attention sees; windows shorter than the tests' texts.
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 160,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
HEADS_OF_16 = {**SIZES, "head_dim": 16}
WINDOW = 48
QWEN_SCALES_FROM = 2048
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0] * 8,
    "long_factor": [2.0] * 8,
    "original_max_position_embeddings": 512,
}


def tiny(model_class: type[PreTrainedModel], config: PreTrainedConfig) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model_class(config).eval()


MAKERS: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": lambda: tiny(LlamaForCausalLM, LlamaConfig(**SIZES)),
    "gpt_neox": lambda: tiny(GPTNeoXForCausalLM, GPTNeoXConfig(**{**SIZES, "num_key_value_heads": None})),
    "mistral": lambda: tiny(MistralForCausalLM, MistralConfig(**SIZES, sliding_window=WINDOW)),
    "qwen2": lambda: tiny(Qwen2ForCausalLM, Qwen2Config(**SIZES)),
    "qwen3": lambda: tiny(Qwen3ForCausalLM, Qwen3Config(**HEADS_OF_16)),
    "gemma2": lambda: tiny(Gemma2ForCausalLM, Gemma2Config(**HEADS_OF_16, sliding_window=WINDOW)),
    "gemma3": lambda: tiny(
        Gemma3ForCausalLM,
        Gemma3TextConfig(**HEADS_OF_16, sliding_window=WINDOW, layer_types=["sliding_attention", "full_attention"]),
    ),
    "phi3": lambda: tiny(
        Phi3ForCausalLM, Phi3Config(**SIZES, original_max_position_embeddings=512, rope_parameters=LONGROPE)
    ),
    "mpt": lambda: read_checkpoint(DATA / "mpt-tiny"),
    "qwen": lambda: read_checkpoint(DATA / "qwen-tiny"),
    "chatglm3": lambda: read_checkpoint(DATA / "chatglm3-tiny"),
}


def write(name: str, root: Path) -> Path:
    """Converts the small model of one architecture, and returns its graph's file."""
    return export(MAKERS[name](), root / name) / "openvino_model.xml"


def read(graph: Path, name: str) -> ov.Model:
    """The graph as the engine prepares it."""
    model = ov.Core().read_model(graph)
    if name == "qwen":
        add_qwen_scaling(model, QWEN_SCALES_FROM)
    return model


def paged(graph: Path, name: str = "", properties: dict | None = None, **arguments) -> PagedModel:
    """The model with one pool for all, by default without the runtime's own rounding."""
    model = read(graph, name)
    make_paged(model, {NTK_ALPHA} if name == "qwen" else set())
    if name == "qwen":
        arguments["extra_inputs"] = lambda length: {NTK_ALPHA: ntk_alpha(length, QWEN_SCALES_FROM)}
    compiled = ov.Core().compile_model(model, "CPU", EXACT if properties is None else properties)
    return open_paged_model(compiled, **arguments)


class Stateful:
    """The graph as it is, which reads a whole text at once: slow, and trusted."""

    def __init__(self, graph: Path, name: str = "", properties: dict | None = None) -> None:
        model = read(graph, name)
        self._request = ov.Core().compile_model(model, "CPU", properties or EXACT).create_infer_request()
        self._names = {port.any_name for port in model.inputs}

    def logits(self, ids: list[int]) -> np.ndarray:
        """After each token: float32 [tokens, vocabulary]."""
        inputs = {
            "input_ids": np.array([ids]),
            "attention_mask": np.ones((1, len(ids)), dtype=np.int64),
            "position_ids": np.arange(len(ids))[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
            NTK_ALPHA: np.array([ntk_alpha(len(ids), QWEN_SCALES_FROM)], dtype=np.float32),
        }
        self._request.reset_state()
        self._request.infer({name: inputs[name] for name in self._names})
        return self._request.get_tensor("logits").data[0].copy()


def together(model: PagedModel, caches: list[PagedCache], texts: list[list[int]]) -> list[np.ndarray]:
    """Each cache's logits for its text if all ask while somebody leads, so that the next call serves them together.

    Returns:
        logits after each text's last token.
    """
    with model.lock:
        model._led = True
    with ThreadPoolExecutor(len(caches)) as threads:
        asked = [threads.submit(cache.feed, ids) for cache, ids in zip(caches, texts, strict=True)]
        with model.lock:
            assert model.lock.wait_for(lambda: len(model._waiting) == len(caches), timeout=60)
            model._led = False
            model.lock.notify_all()
        return [logits.result() for logits in asked]
