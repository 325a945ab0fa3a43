"""The parts of each architecture of GGUF files: one row for each, which states only what differs.

What a row does not say is seen from the file: a tensor that is there is used. So biases, norms of queries and keys,
norms after a block, attention sinks, experts and the shared expert need no entry. The rows follow llama.cpp, which
these files are made for: https://github.com/ggml-org/llama.cpp/tree/master/src/models
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class DecoderRow:
    """The parts that a file's tensors don't tell.

    Attributes:
        norm: "rms" divides by the root mean square, "layer" also subtracts the mean.
        rotary: how rotary embeddings pair a head's values: "halves" (first with second half), "pairs" (neighbours, the
            order of Llama's files), or None for no rotation.
        unrotated: which layers don't rotate: "fourth" (each fourth), "global" (those without a window in models with
            windows), "untuned" (all if the file says that positions weren't tuned); None for no layers.
        norm_after_rotary: whether queries and keys are normalised after the rotation.
        values_normalised: whether values are normalised too, without a weight.
        latent: whether keys and values are made of a common short vector (MLA).
        pattern: each `pattern`-th layer sees everything, the others a sliding window; None: no windows, even if the
            file has one.
        window: of sliding layers where the file does not say.
        window_layers: the fewest layers of models that have windows.
        rotary_base_of_windows: the base of sliding layers where the file does not say; None for that of the others.
        scaled_windows: whether the scaling of positions holds for sliding layers too.
        scores_cap: where attention scores are capped softly if the file does not say; 0 for no caps at all.
        fixed_scale: of attention scores; None for the root of the head's size.
        scaled_by_width_at: the number of layers of the model that has hidden size / heads in place of the head's size
            there; like llama.cpp, this tells Gemma's 27B by its layers.
        alibi: the largest bias of ALiBi where the file does not say; 0 for none.
        activation: of the MLP: "silu", "gelu", "squared relu", or "gpt-oss".
        mlp_norm: the tensor that normalises the MLP's input.
        output_norm: the tensor that normalises what the output layer reads.
        routing, normalised_routing: see `experts.Routing`, where the file does not say.
        embedding_scale: what embeddings are multiplied by where the file does not say.
        embeddings_by_root: whether that is the root of the hidden size.
        residual_scale, residual_by_depth: what the outputs of attention and MLP are multiplied by where the file does
            not say, and whether it is divided by the root of the number of layers.
        logits_cap: where logits are capped softly if the file does not say; 0 for nowhere.
        logits_divided: whether the file's scale of logits divides.
        logit_scale_of_width: what the hidden size is multiplied by to get that scale where the file has none.
        recurrent: whether layers have a recurrent state; Optimum Intel's class for such models gives no positions.
        of_images: keys that have no effect on text.
        axes_by_turns: see `rotary.axes_of_pairs`.
        whole_pictures: whether each vector of a picture looks at all of them, and not only at those before it.
        model_type: Transformers' name for what computes text the same way, for a folder's `config.json`; None: it has
            the same name there, or none.
    """

    norm: str = "rms"
    rotary: str | None = "halves"
    unrotated: str | None = None
    norm_after_rotary: bool = False
    values_normalised: bool = False
    latent: bool = False
    pattern: int | None = None
    window: int | None = None
    window_layers: int = 0
    rotary_base_of_windows: float | None = None
    scaled_windows: bool = True
    scores_cap: float = 0.0
    fixed_scale: float | None = None
    scaled_by_width_at: int | None = None
    alibi: float = 0.0
    activation: str = "silu"
    mlp_norm: str = "ffn_norm"
    output_norm: str = "output_norm"
    routing: str = "softmax"
    normalised_routing: bool = True
    embedding_scale: float = 1.0
    embeddings_by_root: bool = False
    residual_scale: float = 1.0
    residual_by_depth: bool = False
    logits_cap: float = 0.0
    logits_divided: bool = False
    logit_scale_of_width: float | None = None
    recurrent: bool = False
    of_images: tuple[str, ...] = ()
    axes_by_turns: bool = False
    whole_pictures: bool = False
    model_type: str | None = None


LLAMA = DecoderRow(rotary="pairs")
QWEN_ROW = DecoderRow()
# Images have positions on several axes; for text they are all the same.
QWEN_WITH_IMAGES = DecoderRow(of_images=("rope.dimension_sections", "n_deepstack_layers"))
GPT = DecoderRow(norm="layer", rotary=None, activation="gelu")
NEOX = DecoderRow(norm="layer", activation="gelu")
COMMAND_R = DecoderRow(norm="layer", rotary="pairs")

ROWS = {
    "llama": LLAMA,
    "mistral3": replace(LLAMA, model_type="ministral3"),
    "internlm2": replace(LLAMA, model_type="llama"),
    "chatglm": replace(LLAMA, model_type="glm"),
    "glm4": LLAMA,
    "ernie4_5": LLAMA,
    "granite": DecoderRow(rotary="pairs", logits_divided=True, unrotated="untuned"),
    "granitemoe": DecoderRow(rotary="pairs", logits_divided=True),
    "minicpm": DecoderRow(
        rotary="pairs",
        embedding_scale=12.0,
        residual_scale=1.4,
        residual_by_depth=True,
        logits_divided=True,
        logit_scale_of_width=1 / 256,
        model_type="granite",
    ),
    "smollm3": DecoderRow(rotary="pairs", unrotated="fourth"),
    "deepseek2": DecoderRow(rotary="pairs", latent=True, normalised_routing=False, model_type="deepseek_v3"),
    "deepseek": DecoderRow(rotary="pairs", normalised_routing=False),
    "ernie4_5-moe": replace(LLAMA, model_type="ernie4_5_moe"),
    "arcee": DecoderRow(rotary="pairs", activation="squared relu"),
    "qwen": replace(QWEN_ROW, model_type="qwen2"),
    "qwen2": QWEN_ROW,
    "qwen2moe": DecoderRow(normalised_routing=False, model_type="qwen2_moe"),
    "qwen3": QWEN_ROW,
    "qwen3moe": replace(QWEN_ROW, model_type="qwen3_moe"),
    "qwen2vl": replace(QWEN_WITH_IMAGES, model_type="qwen2"),
    "qwen3vl": replace(QWEN_WITH_IMAGES, axes_by_turns=True, model_type="qwen3"),
    "qwen3vlmoe": replace(QWEN_WITH_IMAGES, axes_by_turns=True, model_type="qwen3_moe"),
    "exaone": replace(QWEN_ROW, model_type="llama"),
    "dots1": QWEN_ROW,
    "seed_oss": DecoderRow(mlp_norm="post_attention_norm"),
    "hunyuan-moe": DecoderRow(norm_after_rotary=True, model_type="hunyuan_v1_moe"),
    "olmo2": DecoderRow(pattern=4, scaled_windows=False),
    "olmoe": DecoderRow(normalised_routing=False),
    "exaone4": DecoderRow(pattern=4, window=4096, window_layers=64, unrotated="global"),
    "hunyuan-dense": DecoderRow(norm_after_rotary=True, model_type="hunyuan_v1_dense"),
    "glm4moe": DecoderRow(
        mlp_norm="post_attention_norm", routing="sigmoid", normalised_routing=False, model_type="glm4_moe"
    ),
    "gpt-oss": DecoderRow(
        pattern=2, activation="gpt-oss", mlp_norm="post_attention_norm", routing="chosen", model_type="gpt_oss"
    ),
    "lfm2": DecoderRow(output_norm="token_embd_norm", recurrent=True),
    "phi3": DecoderRow(),
    "phimoe": DecoderRow(),
    "gemma": DecoderRow(activation="gelu", embeddings_by_root=True),
    "gemma2": DecoderRow(
        activation="gelu",
        embeddings_by_root=True,
        pattern=2,
        window=4096,
        scores_cap=50.0,
        logits_cap=30.0,
        scaled_by_width_at=46,
    ),
    "gemma3": DecoderRow(
        activation="gelu",
        embeddings_by_root=True,
        pattern=6,
        rotary_base_of_windows=10000.0,
        scaled_windows=False,
        scaled_by_width_at=62,
        whole_pictures=True,
        model_type="gemma3_text",
    ),
    "gemma4": DecoderRow(
        activation="gelu",
        embeddings_by_root=True,
        pattern=6,
        rotary_base_of_windows=10000.0,
        scaled_windows=False,
        fixed_scale=1.0,
        logits_cap=30.0,
        values_normalised=True,
        model_type="gemma4_text",
    ),
    "command-r": replace(COMMAND_R, model_type="cohere"),
    "cohere2": DecoderRow(norm="layer", rotary="pairs", pattern=4, unrotated="global"),
    "stablelm": DecoderRow(norm="layer"),
    "starcoder2": NEOX,
    "orion": DecoderRow(norm="layer"),
    "nemotron": DecoderRow(norm="layer", activation="squared relu"),
    "falcon": NEOX,
    "gptneox": replace(NEOX, model_type="gpt_neox"),
    "phi2": replace(NEOX, model_type="phi"),
    "gpt2": GPT,
    "mpt": GPT,
    "bloom": DecoderRow(norm="layer", rotary=None, activation="gelu", alibi=8.0),
}
