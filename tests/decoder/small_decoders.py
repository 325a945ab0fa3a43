"""Small GGUF files with random weights, one or more for each architecture. Only `gguf` and NumPy make them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as GGML
from gguf import GGUFWriter, quantize

VOCABULARY = 288
HIDDEN, HEADS, KEYS, SIZE, FEED = 64, 4, 2, 16, 96
EXPERTS, USED, EXPERT_FEED = 8, 3, 32
WINDOW = 16  # tokens that sliding layers see
CONTEXT, ORIGINAL = 128, 32
IDS = np.random.default_rng(7).integers(0, VOCABULARY, 64).tolist()  # beyond the window and the original context
AFTER = [0, 15, 16, 17, 31, 32, 47, 63]  # the tokens after which logits are compared


@dataclass(frozen=True)
class Small:
    """The keys and tensors of a small model's file.

    Attributes:
        architecture: as files name it.
        keys: values of the header besides those that all have.
        layers: how many.
        hidden, heads, kv, size, value: the hidden size, the numbers of heads, and the size of a head.
        fused: whether one matrix makes queries, keys and values.
        biases: the names of matrices with a bias, without their ".weight".
        norms: which norms a layer has, with their sizes.
        norm_biases: whether they have biases.
        gate: "apart" for a matrix of its own, "joined" with up, "" for none.
        mlp: whether layers have an MLP; experts otherwise.
        output: whether the output layer is not the embeddings.
        extra: further tensors of a layer, with their shapes.
        outer: further tensors outside of layers.
        type: of the matrices.
    """

    architecture: str
    keys: dict[str, Any] = field(default_factory=dict)
    layers: int = 2
    hidden: int = HIDDEN
    heads: int = HEADS
    kv: int = KEYS
    size: int = SIZE
    fused: bool = False
    biases: Sequence[str] = ()
    norms: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"attn_norm": (HIDDEN,), "ffn_norm": (HIDDEN,)})
    norm_biases: bool = False
    gate: str = "apart"
    mlp: bool = True
    output: bool = True
    extra: dict[str, tuple[int, ...]] = field(default_factory=dict)
    outer: dict[str, tuple[int, ...]] = field(default_factory=dict)
    type: GGML = GGML.F32

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """All tensors by name, in NumPy's order of dimensions."""
        shapes = {"token_embd.weight": (VOCABULARY, self.hidden), "output_norm.weight": (self.hidden,)}
        if self.norm_biases:
            shapes["output_norm.bias"] = (self.hidden,)
        if self.output:
            shapes["output.weight"] = (VOCABULARY, self.hidden)
        for index in range(self.layers):
            shapes |= {f"blk.{index}.{name}": shape for name, shape in self._layer().items()}
        return {name: shape for name, shape in {**shapes, **self.outer}.items() if shape}

    def _layer(self) -> dict[str, tuple[int, ...]]:
        hidden, queries, keys = self.hidden, self.heads * self.size, self.kv * self.size
        matrices = {"attn_q": (queries, hidden), "attn_k": (keys, hidden), "attn_v": (keys, hidden)}
        if self.fused:
            matrices = {"attn_qkv": (queries + 2 * keys, hidden)}
        matrices["attn_output"] = (hidden, queries)
        if self.mlp:
            matrices["ffn_up"] = (2 * FEED if self.gate == "joined" else FEED, hidden)
            matrices["ffn_down"] = (hidden, FEED)
            if self.gate == "apart":
                matrices["ffn_gate"] = (FEED, hidden)
        shapes: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, shape in matrices.items()}
        shapes |= {f"{name}.weight": shape for name, shape in self.norms.items()}
        shapes |= {f"{name}.bias": (matrices[name][0],) for name in self.biases}
        if self.norm_biases:
            shapes |= {f"{name}.bias": shape for name, shape in self.norms.items()}
        if not self.size:  # this attention is among the further tensors
            shapes = {
                name: shape for name, shape in shapes.items() if name.split(".")[0] not in matrices or "ffn" in name
            }
        return {name: shape for name, shape in {**shapes, **self.extra}.items() if shape}

    def header(self) -> dict[str, Any]:
        return {
            "block_count": self.layers,
            "context_length": CONTEXT,
            "embedding_length": self.hidden,
            "feed_forward_length": FEED,
            "attention.head_count": self.heads,
            "attention.head_count_kv": self.kv,
            "attention.layer_norm_epsilon": 1e-5,
            "attention.layer_norm_rms_epsilon": 1e-5,
            "rope.freq_base": 10000.0,
            **self.keys,
        }


def norms(*names: str, **sizes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {**dict.fromkeys(names, (HIDDEN,)), **sizes}


def gated_experts(gate: bool = True, shared: int = 0, biases: bool = False) -> dict[str, tuple[int, ...]]:
    """The tensors of experts in a layer."""
    shapes = {
        "ffn_gate_inp.weight": (EXPERTS, HIDDEN),
        "ffn_up_exps.weight": (EXPERTS, EXPERT_FEED, HIDDEN),
        "ffn_down_exps.weight": (EXPERTS, HIDDEN, EXPERT_FEED),
    }
    if gate:
        shapes["ffn_gate_exps.weight"] = (EXPERTS, EXPERT_FEED, HIDDEN)
    if shared:
        shapes |= {"ffn_gate_shexp.weight": (shared, HIDDEN), "ffn_up_shexp.weight": (shared, HIDDEN)}
        shapes["ffn_down_shexp.weight"] = (HIDDEN, shared)
    if biases:
        shapes |= {
            name.replace("weight", "bias"): shape[:-1] for name, shape in shapes.items() if name.startswith("ffn_")
        }
    return shapes


ROUTED = {"expert_count": EXPERTS, "expert_used_count": USED, "expert_feed_forward_length": EXPERT_FEED}
HEAD_NORMS = {"attn_q_norm": (SIZE,), "attn_k_norm": (SIZE,)}
WHOLE_NORMS = {"attn_q_norm": (HEADS * SIZE,), "attn_k_norm": (KEYS * SIZE,)}
EACH_NORMS = {"attn_q_norm": (HEADS, SIZE), "attn_k_norm": (KEYS, SIZE)}
QKV = ("attn_q", "attn_k", "attn_v")
POST = norms("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
YARN = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": ORIGINAL,
}
SLIDING = {"attention.sliding_window": WINDOW}
WIDE = {"attention.key_length": 32, "attention.value_length": 32}

# DeepSeek's: a latent vector of 32 values, keys of 16 that don't rotate and 8 that do, values of 16.
LATENT = (
    ROUTED
    | YARN
    | {
        "attention.head_count_kv": 1,
        "attention.kv_lora_rank": 32,
        "attention.key_length": 32 + 8,
        "attention.value_length": 32,
        "attention.key_length_mla": 24,
        "attention.value_length_mla": 16,
        "rope.dimension_count": 8,
        "expert_shared_count": 1,
    }
)
LATENT_SHAPES = {
    "attn_q": (HEADS * 24, HIDDEN),
    "attn_q_a": (24, HIDDEN),
    "attn_q_a_norm": (24,),
    "attn_q_b": (HEADS * 24, 24),
    "attn_kv_a_mqa": (32 + 8, HIDDEN),
    "attn_kv_a_norm": (32,),
    "attn_kv_b": (HEADS * (16 + 16), 32),
    "attn_k_b": (HEADS, 32, 16),
    "attn_v_b": (HEADS, 16, 32),
    "attn_output": (HIDDEN, HEADS * 16),
}


def latent(*names: str) -> dict[str, tuple[int, ...]]:
    """The tensors of latent attention in a layer, these and the output's, in place of the usual ones."""
    none = dict.fromkeys(("attn_q.weight", "attn_k.weight", "attn_v.weight"), ())
    return none | {f"{name}.weight": LATENT_SHAPES[name] for name in (*names, "attn_output")}


def lite_layers() -> dict[str, tuple[int, ...]]:
    """The two layers of a small DeepSeek V2 Lite, the first of them without experts."""
    shapes = latent("attn_q", "attn_kv_a_mqa", "attn_kv_a_norm", "attn_kv_b")
    mlp = {"ffn_gate.weight": (FEED, HIDDEN), "ffn_up.weight": (FEED, HIDDEN), "ffn_down.weight": (HIDDEN, FEED)}
    layers = [shapes | mlp, shapes | gated_experts(shared=EXPERT_FEED)]
    return {f"blk.{i}.{name}": shape for i, layer in enumerate(layers) for name, shape in layer.items() if shape}


def lfm2_layers() -> dict[str, tuple[int, ...]]:
    """Short convolutions, attention in the third layer, and the output's norm by the name that files have for it."""
    convolution: dict[str, tuple[int, ...]] = {
        "shortconv.conv.weight": (HIDDEN, 3),
        "shortconv.in_proj.weight": (3 * HIDDEN, HIDDEN),
        "shortconv.out_proj.weight": (HIDDEN, HIDDEN),
    }
    attention: dict[str, tuple[int, ...]] = {
        "attn_q.weight": (HEADS * SIZE, HIDDEN),
        "attn_k.weight": (KEYS * SIZE, HIDDEN),
        "attn_v.weight": (KEYS * SIZE, HIDDEN),
        "attn_output.weight": (HIDDEN, HEADS * SIZE),
        "attn_q_norm.weight": (SIZE,),
        "attn_k_norm.weight": (SIZE,),
    }
    layers = [convolution, convolution, attention, convolution]
    shapes = {f"blk.{i}.{name}": shape for i, layer in enumerate(layers) for name, shape in layer.items()}
    return shapes | {"token_embd_norm.weight": (HIDDEN,), "output_norm.weight": ()}


def gemma4_layers() -> dict[str, tuple[int, ...]]:
    """The attention of a small Gemma 4: other heads in layers with a window, and no keys and values in the last two."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index, (size, keys) in enumerate([(SIZE, 2), (32, 1), (SIZE, 2), (32, 1)]):
        own = {
            "attn_q.weight": (HEADS * size, HIDDEN),
            "attn_q_norm.weight": (size,),
            "attn_output.weight": (HIDDEN, HEADS * size),
            "inp_gate.weight": (8, HIDDEN),
            "proj.weight": (HIDDEN, 8),
            "post_norm.weight": (HIDDEN,),
        }
        if index < 2:
            own |= {"attn_k.weight": (keys * size, HIDDEN), "attn_k_norm.weight": (size,)}
        if index == 0:
            own |= {"attn_v.weight": (keys * size, HIDDEN)}
        shapes |= {f"blk.{index}.{name}": shape for name, shape in own.items()}
    return shapes


SMALL = {
    "llama": Small("llama", output=False),
    "lfm2": Small(
        "lfm2",
        {"attention.head_count_kv": [0, 0, KEYS, 0], "shortconv.l_cache": 3},
        layers=4,
        output=False,
        extra=dict.fromkeys(("attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight"), ()),
        outer=lfm2_layers(),
    ),
    "llama3": Small("llama", outer={"rope_freqs.weight": (SIZE // 2,)}),
    "llama-linear": Small("llama", {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}),
    "llama-old-linear": Small("llama", {"rope.scale_linear": 4.0}),
    "llama-yarn": Small("llama", YARN, biases=(*QKV, "attn_output", "ffn_gate", "ffn_up", "ffn_down")),
    "mixtral": Small("llama", ROUTED | {"feed_forward_length": EXPERT_FEED}, mlp=False, extra=gated_experts()),
    "mistral3": Small(
        "mistral3",
        YARN
        | {
            "attention.temperature_scale": 0.1,
            "rope.scaling.yarn_log_multiplier": 1.0,
            "rope.scaling.yarn_beta_fast": 4.0,
        },
    ),
    "qwen": Small("qwen", {"feed_forward_length": 2 * FEED}, kv=HEADS, fused=True, biases=("attn_qkv",)),
    "qwen2": Small("qwen2", YARN, biases=QKV),
    "qwen2-old-linear": Small("qwen2", {"rope.scale_linear": 4.0}, biases=QKV),
    "qwen2moe": Small(
        "qwen2moe",
        ROUTED | {"expert_shared_feed_forward_length": 48},
        biases=QKV,
        mlp=False,
        extra={**gated_experts(shared=48), "ffn_gate_inp_shexp.weight": (HIDDEN,)},
    ),
    "qwen3": Small("qwen3", WIDE, size=32, norms=norms("attn_norm", "ffn_norm", attn_q_norm=(32,), attn_k_norm=(32,))),
    "qwen3moe": Small(
        "qwen3moe", ROUTED, norms=norms("attn_norm", "ffn_norm", **HEAD_NORMS), mlp=False, extra=gated_experts()
    ),
    "gemma": Small("gemma", WIDE, size=32, output=False),
    "gemma2": Small(
        "gemma2",
        SLIDING | WIDE | {"attn_logit_softcapping": 5.0},
        layers=3,
        size=32,
        norms=POST,
        output=False,
    ),
    "gemma3": Small(
        "gemma3",
        SLIDING | {"rope.freq_base": 1e6, "rope.scaling.factor": 4.0},
        layers=7,
        norms=POST | HEAD_NORMS,
        output=False,
    ),
    "gemma3-bases": Small(
        "gemma3",
        SLIDING | {"rope.freq_base": 1e6, "rope.freq_base_swa": 500.0},
        layers=7,
        norms=POST | HEAD_NORMS,
        output=False,
    ),
    "gemma3-plain": Small("gemma3", norms=POST | HEAD_NORMS, output=False),
    "phi3": Small("phi3", fused=True, gate="joined"),
    "phi3-long": Small(
        "phi3",
        SLIDING
        | {
            "rope.scaling.type": "longrope",
            "rope.scaling.attn_factor": 1.2,
            "rope.scaling.original_context_length": ORIGINAL,
        },
        fused=True,
        gate="joined",
        outer={"rope_factors_long.weight": (SIZE // 2,), "rope_factors_short.weight": (SIZE // 2,)},
    ),
    "phimoe": Small(
        "phimoe",
        ROUTED | {"feed_forward_length": EXPERT_FEED},
        biases=(*QKV, "attn_output"),
        norm_biases=True,
        mlp=False,
        extra=gated_experts(),
        outer={"output.bias": (VOCABULARY,)},
    ),
    "granite": Small(
        "granite",
        {"logit_scale": 4.0, "residual_scale": 0.5, "embedding_scale": 6.0, "attention.scale": 0.1},
    ),
    "granite-unrotated": Small("granite", {"logit_scale": 4.0, "rope.scaling.finetuned": False}),
    "granitemoe": Small(
        "granitemoe",
        ROUTED
        | {
            "logit_scale": 4.0,
            "residual_scale": 0.5,
            "embedding_scale": 6.0,
            "attention.scale": 0.1,
            "feed_forward_length": EXPERT_FEED,
            "expert_shared_feed_forward_length": 48,
        },
        mlp=False,
        extra=gated_experts(shared=48),
    ),
    "smollm3": Small("smollm3", layers=4, output=False),
    "olmo2": Small("olmo2", norms=norms("post_attention_norm", "post_ffw_norm", **WHOLE_NORMS)),
    "olmo3": Small(
        "olmo2", SLIDING | YARN, layers=4, norms=norms("post_attention_norm", "post_ffw_norm", **WHOLE_NORMS)
    ),
    "olmoe": Small(
        "olmoe",
        ROUTED | {"feed_forward_length": EXPERT_FEED},
        kv=HEADS,
        norms=norms("attn_norm", "ffn_norm", attn_q_norm=(HIDDEN,), attn_k_norm=(HIDDEN,)),
        mlp=False,
        extra=gated_experts(),
    ),
    "glm4": Small("glm4", {"rope.dimension_count": SIZE // 2}, biases=QKV, norms=POST, gate="joined"),
    "glm4moe": Small(
        "glm4moe",
        ROUTED
        | {
            "rope.dimension_count": SIZE // 2,
            "leading_dense_block_count": 0,
            "expert_shared_count": 1,
            "expert_weights_scale": 1.5,
        },
        biases=QKV,
        norms=norms("attn_norm", "post_attention_norm", **HEAD_NORMS),
        mlp=False,
        extra={**gated_experts(shared=EXPERT_FEED), "exp_probs_b.bias": (EXPERTS,)},
    ),
    "chatglm": Small("chatglm", {"rope.dimension_count": SIZE // 2}, fused=True, biases=("attn_qkv",), gate="joined"),
    "command-r": Small("command-r", {"logit_scale": 0.25}, norms=norms("attn_norm"), output=False),
    "cohere2": Small("cohere2", SLIDING | {"logit_scale": 0.25}, layers=4, norms=norms("attn_norm"), output=False),
    "stablelm": Small("stablelm", {"rope.dimension_count": SIZE // 4}, norm_biases=True, biases=QKV),
    "stablelm-12b": Small(
        "stablelm",
        {"rope.dimension_count": SIZE // 4},
        norms=norms("attn_norm"),
        norm_biases=True,
        extra={f"{name}.weight": shape for name, shape in EACH_NORMS.items()},
    ),
    "starcoder2": Small(
        "starcoder2", norm_biases=True, gate="", biases=(*QKV, "attn_output", "ffn_up", "ffn_down"), output=False
    ),
    "falcon": Small("falcon", kv=1, fused=True, norms=norms("attn_norm"), norm_biases=True, gate=""),
    "falcon-40b": Small("falcon", fused=True, norms=norms("attn_norm", "attn_norm_2"), norm_biases=True, gate=""),
    "gptneox": Small(
        "gptneox",
        {"use_parallel_residual": True, "rope.dimension_count": SIZE // 4},
        kv=HEADS,
        fused=True,
        norm_biases=True,
        gate="",
        biases=("attn_qkv", "attn_output", "ffn_up", "ffn_down"),
    ),
    "redpajama": Small(
        "gptneox",
        {"use_parallel_residual": False},
        kv=HEADS,
        fused=True,
        norm_biases=True,
        gate="",
        biases=("attn_qkv", "attn_output", "ffn_up", "ffn_down"),
    ),
    "mpt": Small(
        "mpt",
        {"attention.max_alibi_bias": 8.0, "attention.clamp_kqv": 0.5},
        kv=HEADS,
        fused=True,
        gate="",
        output=False,
    ),
    "gpt2": Small(
        "gpt2",
        kv=HEADS,
        fused=True,
        norm_biases=True,
        gate="",
        biases=("attn_qkv", "attn_output", "ffn_up", "ffn_down"),
        outer={"position_embd.weight": (CONTEXT, HIDDEN)},
    ),
    "bloom": Small(
        "bloom",
        hidden=96,
        heads=6,
        kv=6,
        fused=True,
        norms={"attn_norm": (96,), "ffn_norm": (96,)},
        norm_biases=True,
        gate="",
        biases=("attn_qkv", "attn_output", "ffn_up", "ffn_down"),
        outer={"token_embd_norm.weight": (96,), "token_embd_norm.bias": (96,)},
        output=False,
    ),
    "phi2": Small(
        "phi2",
        {"rope.dimension_count": SIZE // 2},
        kv=HEADS,
        norms=norms("attn_norm"),
        norm_biases=True,
        gate="",
        biases=(*QKV, "attn_output", "ffn_up", "ffn_down"),
        outer={"output.bias": (VOCABULARY,)},
    ),
    "internlm2": Small("internlm2"),
    "minicpm": Small("minicpm", {"logit_scale": 4.0}),
    "exaone4": Small("exaone4", norms=norms("post_attention_norm", "post_ffw_norm", **HEAD_NORMS)),
    "ernie4_5": Small("ernie4_5"),
    "hunyuan-dense": Small(
        "hunyuan-dense", {"rope.scaling.alpha": 50.0}, norms=norms("attn_norm", "ffn_norm", **HEAD_NORMS)
    ),
    "qwen2vl": Small("qwen2vl", {"rope.dimension_sections": [2, 3, 3, 0]}, biases=QKV),
    "qwen3vl": Small(
        "qwen3vl",
        {"rope.dimension_sections": [3, 3, 2, 0], "n_deepstack_layers": 0},
        norms=norms("attn_norm", "ffn_norm", **HEAD_NORMS),
    ),
    "qwen3vlmoe": Small(
        "qwen3vlmoe",
        ROUTED | {"rope.dimension_sections": [3, 3, 2, 0], "n_deepstack_layers": 0},
        norms=norms("attn_norm", "ffn_norm", **HEAD_NORMS),
        mlp=False,
        extra=gated_experts(),
    ),
    "exaone": Small("exaone", outer={"rope_freqs.weight": (SIZE // 2,)}),
    "seed_oss": Small("seed_oss", norms=norms("attn_norm", "post_attention_norm"), biases=QKV),
    "deepseek": Small(
        "deepseek",
        ROUTED | {"leading_dense_block_count": 0, "expert_shared_count": 1, "expert_weights_scale": 1.0},
        mlp=False,
        extra=gated_experts(shared=EXPERT_FEED),
    ),
    "dots1": Small(
        "dots1",
        ROUTED
        | {
            "leading_dense_block_count": 0,
            "expert_shared_count": 1,
            "expert_weights_scale": 1.5,
            "expert_weights_norm": True,
            "expert_gating_func": 2,
        },
        kv=HEADS,
        norms=norms("attn_norm", "ffn_norm", **HEAD_NORMS),
        mlp=False,
        extra={**gated_experts(shared=EXPERT_FEED), "exp_probs_b.bias": (EXPERTS,)},
    ),
    "ernie4_5-moe": Small(
        "ernie4_5-moe",
        ROUTED
        | {"interleave_moe_layer_step": 1, "leading_dense_block_count": 0, "expert_shared_feed_forward_length": 48},
        mlp=False,
        extra={**gated_experts(shared=48), "exp_probs_b.bias": (EXPERTS,)},
    ),
    "hunyuan-moe": Small(
        "hunyuan-moe",
        ROUTED | {"feed_forward_length": EXPERT_FEED, "expert_shared_feed_forward_length": 48},
        norms=norms("attn_norm", "ffn_norm", **HEAD_NORMS),
        mlp=False,
        extra=gated_experts(shared=48),
    ),
    "orion": Small("orion", norm_biases=True),
    "arcee": Small("arcee", gate=""),
    "nemotron": Small("nemotron", norm_biases=True, gate="", biases=("attn_output", "ffn_up", "ffn_down")),
    "gpt-oss": Small(
        "gpt-oss",
        ROUTED | SLIDING | YARN | {"attention.key_length": SIZE, "attention.value_length": SIZE},
        biases=(*QKV, "attn_output"),
        norms=norms("attn_norm", "post_attention_norm"),
        mlp=False,
        extra={**gated_experts(biases=True), "attn_sinks.weight": (HEADS,)},
    ),
    "gemma4": Small(
        "gemma4",
        SLIDING
        | {
            "attention.key_length": 32,
            "attention.value_length": 32,
            "attention.key_length_swa": SIZE,
            "attention.value_length_swa": SIZE,
            "attention.sliding_window_pattern": [True, False, True, False],
            "attention.head_count_kv": [2, 1, 2, 1],
            "attention.shared_kv_layers": 2,
            "embedding_length_per_layer_input": 8,
            "rope.freq_base": 1e6,
            "rope.freq_base_swa": 500.0,
            "rope.dimension_count": 32,
            "rope.dimension_count_swa": SIZE,
            "final_logit_softcapping": 3.0,
        },
        layers=4,
        size=0,
        norms=POST,
        output=False,
        outer=gemma4_layers()
        | {
            "rope_freqs.weight": (16,),
            "per_layer_token_embd.weight": (VOCABULARY, 4 * 8),
            "per_layer_model_proj.weight": (4 * 8, HIDDEN),
            "per_layer_proj_norm.weight": (8,),
        },
    ),
    "gemma4-experts": Small(
        "gemma4",
        ROUTED
        | SLIDING
        | {
            "attention.key_length": SIZE,
            "attention.value_length": SIZE,
            "attention.key_length_swa": SIZE,
            "attention.value_length_swa": SIZE,
            "attention.sliding_window_pattern": [True, False],
            "embedding_length_per_layer_input": 0,
            "rope.freq_base_swa": 500.0,
        },
        norms=norms(*POST, "post_ffw_norm_1", "post_ffw_norm_2", "pre_ffw_norm_2", **HEAD_NORMS),
        extra={
            **gated_experts(gate=False),
            "ffn_up_exps.weight": (),
            "ffn_gate_up_exps.weight": (EXPERTS, 2 * EXPERT_FEED, HIDDEN),
            "ffn_gate_inp.scale": (HIDDEN,),
            "ffn_down_exps.scale": (EXPERTS,),
            "layer_output_scale.weight": (1,),
        },
        outer={"rope_freqs.weight": (SIZE // 2,)},
        output=False,
    ),
    "deepseek2": Small(
        "deepseek2",
        LATENT
        | {
            "attention.q_lora_rank": 24,
            "expert_group_count": 4,
            "expert_group_used_count": 2,
            "expert_gating_func": 2,
            "expert_weights_norm": True,
            "expert_weights_scale": 2.5,
            "rope.scaling.yarn_log_multiplier": 0.1,
        },
        size=0,
        extra={
            **latent(
                "attn_kv_a_mqa", "attn_kv_a_norm", "attn_k_b", "attn_v_b", "attn_q_a", "attn_q_a_norm", "attn_q_b"
            ),
            **gated_experts(shared=EXPERT_FEED),
            "exp_probs_b.bias": (EXPERTS,),
        },
        mlp=False,
    ),
    "deepseek2-lite": Small(
        "deepseek2",
        {key: value for key, value in LATENT.items() if not key.endswith("_mla")}
        | {
            "attention.head_count_kv": HEADS,
            "attention.key_length": 24,
            "attention.value_length": 16,
            "attention.q_lora_rank": 0,
            "rope.scaling.yarn_log_multiplier": 0.0707,
            "leading_dense_block_count": 1,
        },
        size=0,
        outer=lite_layers(),
        mlp=False,
    ),
}


def write(path: Path, small: Small) -> None:
    """Writes the file of a small model; the same one each time."""
    rng = np.random.default_rng(0)
    writer = GGUFWriter(path, small.architecture)
    _write_keys(writer, small)
    for name, shape in small.shapes().items():
        values, type = _values(name, shape, rng), small.type
        if len(shape) == 1 or "norm" in name or "gate_inp" in name or name.endswith("bias"):
            type = GGML.F32
        if type == GGML.F32:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, quantize(values, type), raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _values(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    values = rng.standard_normal(shape).astype(np.float32)
    if name.startswith("rope_f"):
        return 1 + 3 * np.abs(values)
    if "norm" in name and name.endswith("weight"):
        return 1 + values * np.float32(0.3)
    if "sinks" in name:
        return values
    if len(shape) == 1:
        return values * np.float32(0.3)
    return values * np.float32(1.5 / np.sqrt(shape[-1]))


def _write_keys(writer: GGUFWriter, small: Small) -> None:
    adders: dict[type, Callable] = {
        bool: writer.add_bool,
        float: writer.add_float32,
        int: writer.add_uint32,
        str: writer.add_string,
        list: writer.add_array,
    }
    for key, value in small.header().items():
        adders[type(value)](f"{small.architecture}.{key}", value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"<{number}>" for number in range(VOCABULARY)])
    writer.add_token_types([1] * VOCABULARY)
    writer.add_token_merges(["< 1"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
