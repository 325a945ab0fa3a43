"""The catalogue's checkpoints in small: the files, names and config keys of their repositories, with random weights."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)

from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS

HIDDEN, LAYERS, HEADS, KV_HEADS, FFN, VOCABULARY = 128, 2, 4, 2, 256, 640

TEXT = """What is the capital of France? The capital of France is Paris. And of Italy? The capital of Italy is Rome.
A language model reads a text and says what comes next. Hello, how are you? I am fine, thank you, and you?
日本の首都はどこですか。中国的首都是北京。
### System: ### User: ### Assistant: <human>: <bot>: 設定: ユーザー: システム:"""

Tensors = dict[str, torch.Tensor]


def write(name: str, hub: Path) -> Path:
    """Writes the repository of a row of the catalogue to a hub's folder, the same at every call."""
    folder = hub / SUPPORTED_LLM_MODELS[name].model_id
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        WRITERS[name](folder)
    (folder / "README.md").write_text(f"# {name}\n", encoding="utf-8")
    return folder


# Weights


def save_shards(folder: Path, tensors: Tensors, count: int, stem: str) -> None:
    """`stem` is "model.safetensors" or "pytorch_model.bin"; more than one file gets numbers and an index."""
    name, suffix = stem.split(".")
    names = [stem] if count == 1 else [f"{name}-{i:05}-of-{count:05}.{suffix}" for i in range(1, count + 1)]
    keys = list(tensors)
    where = {key: names[index * count // len(keys)] for index, key in enumerate(keys)}
    for shard in names:
        part = {key: tensors[key].contiguous() for key in keys if where[key] == shard}
        if suffix == "safetensors":
            save_file(part, folder / shard, metadata={"format": "pt"})
        else:
            torch.save(part, folder / shard)
    if count > 1:
        size = sum(tensor.nbytes for tensor in tensors.values())
        write_json(folder / f"{stem}.index.json", {"metadata": {"total_size": size}, "weight_map": where})


def random_tensors(shapes: dict[str, tuple[int, ...]], dtype: torch.dtype) -> Tensors:
    """Norms of one, biases and other weights around zero."""
    return {
        name: torch.ones(shape, dtype=dtype)
        if "norm" in name or ".ln_" in name
        else (0.1 * torch.randn(shape)).to(dtype)
        for name, shape in shapes.items()
    }


def of_transformers(
    model_class: type[PreTrainedModel], config: PreTrainedConfig, dtype: torch.dtype
) -> tuple[Tensors, dict]:
    """Random weights of an architecture that Transformers has, and its config as a repository writes it."""
    model = model_class(config).to(dtype)
    described = json.loads(config.to_json_string(use_diff=True))
    described |= {"architectures": [model_class.__name__], "torch_dtype": str(dtype).removeprefix("torch.")}
    described.pop("dtype", None)
    return dict(model.state_dict()), described


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


# Tokenizers


def train_sentencepiece() -> bytes:
    """A SentencePiece model like Llama's and ChatGLM's: BPE, byte fallback, a dummy prefix."""
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines()),
        model_writer=trained,
        model_type="bpe",
        vocab_size=480,
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        pad_id=-1,
        minloglevel=2,
    )
    return trained.getvalue()


def llama_tokenizer(folder: Path, chat_template: str | None = None) -> None:
    trained = train_sentencepiece()
    (folder / "tokenizer.model").write_bytes(trained)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=trained)
    vocabulary = {pieces.id_to_piece(id): id for id in range(len(pieces))}
    merges = sorted(
        (vocabulary[left + right], left, right)
        for left in vocabulary
        for right in vocabulary
        if left + right in vocabulary
    )
    tokenizer = Tokenizer(
        models.BPE(
            vocabulary,
            [(left, right) for _, left, right in merges],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    write_json(folder / "special_tokens_map.json", named)
    settings = {
        **named,
        "tokenizer_class": "LlamaTokenizer",
        "legacy": True,
        "add_bos_token": True,
        "add_eos_token": False,
    }
    write_json(folder / "tokenizer_config.json", settings | ({"chat_template": chat_template} if chat_template else {}))


def neox_tokenizer(folder: Path, *more_tokens: str) -> None:
    special = ["<|endoftext|>", "<|padding|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: id for id, token in enumerate([*special, *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens([*special, *more_tokens])
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {f"{kind}_token": "<|endoftext|>" for kind in ("bos", "eos", "unk")}
    write_json(folder / "special_tokens_map.json", named)
    write_json(
        folder / "tokenizer_config.json", {**named, "tokenizer_class": "GPTNeoXTokenizer", "add_prefix_space": False}
    )


def qwen_tokenizer(folder: Path) -> None:
    ranks = [bytes([byte]) for byte in range(256)] + [b" t", b"he", b" the", b"in", b"er", b"\xe4\xb8", b"\xe4\xb8\xad"]
    lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(ranks)]
    (folder / "qwen.tiktoken").write_text("\n".join(lines) + "\n", encoding="utf-8")
    original_tokenizer_config(folder, "QWenTokenizer", "tokenization_qwen")


def chatglm_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.model").write_bytes(train_sentencepiece())
    original_tokenizer_config(folder, "ChatGLMTokenizer", "tokenization_chatglm")


def original_tokenizer_config(folder: Path, tokenizer_class: str, module: str) -> None:
    """A `tokenizer_config.json` that names Python in the repository, and that Python, which nobody may run."""
    settings = {
        "remove_space": False,
        "do_lower_case": False,
        "tokenizer_class": tokenizer_class,
        "auto_map": {"AutoTokenizer": [f"{module}.{tokenizer_class}", None]},
    }
    write_json(folder / "tokenizer_config.json", settings)
    hostile(folder / f"{module}.py")


def hostile(path: Path) -> None:
    path.write_text(f"raise SystemExit('{path.name} was executed')\n", encoding="utf-8")


# Repositories


def llama(folder: Path, *, shards: int = 1, pickles: int = 0, dtype: torch.dtype = torch.float16, **settings) -> None:
    config = LlamaConfig(
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=FFN,
        vocab_size=VOCABULARY,
        tie_word_embeddings=False,
        **settings,
    )
    tensors, described = of_transformers(LlamaForCausalLM, config, dtype)
    write_llama_like(folder, tensors, described, shards, pickles)


def mistral(folder: Path, *, shards: int = 2, pickles: int = 2, dtype: torch.dtype = torch.bfloat16) -> None:
    config = MistralConfig(
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        intermediate_size=FFN,
        vocab_size=VOCABULARY,
        max_position_embeddings=32768,
        sliding_window=4096,
        tie_word_embeddings=False,
    )
    tensors, described = of_transformers(MistralForCausalLM, config, dtype)
    write_llama_like(folder, tensors, described, shards, pickles)


def write_llama_like(folder: Path, tensors: Tensors, config: dict, shards: int, pickles: int) -> None:
    write_json(folder / "config.json", config)
    write_json(
        folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "transformers_version": "4.35.0"}
    )
    save_shards(folder, tensors, shards, "model.safetensors")
    if pickles:  # the same once more, which nobody needs
        save_shards(folder, tensors, pickles, "pytorch_model.bin")
    llama_tokenizer(folder)


def red_pajama(folder: Path) -> None:
    config = GPTNeoXConfig(
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=FFN,
        vocab_size=VOCABULARY,
        max_position_embeddings=2048,
        use_parallel_residual=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    tensors, described = of_transformers(GPTNeoXForCausalLM, config, torch.float16)
    described.pop("rope_parameters", None)
    described |= {"rotary_emb_base": 10000, "rotary_pct": 1.0}
    for layer in range(LAYERS):  # buffers that Transformers of 2023 saved with the weights
        attention = f"gpt_neox.layers.{layer}.attention"
        tensors[f"{attention}.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.bool).tril()
        tensors[f"{attention}.masked_bias"] = torch.tensor(-1e9)
        tensors[f"{attention}.rotary_emb.inv_freq"] = torch.ones(HIDDEN // HEADS // 2)
    write_json(folder / "config.json", described)
    write_json(folder / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 0})
    save_shards(folder, tensors, 1, "pytorch_model.bin")
    neox_tokenizer(folder)


def mpt(folder: Path) -> None:
    shapes = {"transformer.wte.weight": (VOCABULARY, HIDDEN), "transformer.norm_f.weight": (HIDDEN,)}
    for layer in range(LAYERS):
        block = f"transformer.blocks.{layer}"
        shapes |= {
            f"{block}.norm_1.weight": (HIDDEN,),
            f"{block}.attn.Wqkv.weight": (3 * HIDDEN, HIDDEN),
            f"{block}.attn.out_proj.weight": (HIDDEN, HIDDEN),
            f"{block}.norm_2.weight": (HIDDEN,),
            f"{block}.ffn.up_proj.weight": (4 * HIDDEN, HIDDEN),
            f"{block}.ffn.down_proj.weight": (HIDDEN, 4 * HIDDEN),
        }
    config = {
        "architectures": ["MPTForCausalLM"],
        "attn_config": {
            "alibi": True,
            "alibi_bias_max": 8,
            "attn_impl": "torch",
            "attn_pdrop": 0,
            "attn_type": "multihead_attention",
            "attn_uses_sequence_id": False,
            "clip_qkv": None,
            "prefix_lm": False,
            "qk_ln": False,
            "softmax_scale": None,
        },
        "auto_map": {
            "AutoConfig": "configuration_mpt.MPTConfig",
            "AutoModelForCausalLM": "modeling_mpt.MPTForCausalLM",
        },
        "d_model": HIDDEN,
        "emb_pdrop": 0,
        "embedding_fraction": 1.0,
        "expansion_ratio": 4,
        "init_config": {"name": "kaiming_normal_", "init_std": 0.02, "init_nonlinearity": "relu"},
        "init_device": "cpu",
        "learned_pos_emb": True,
        "logit_scale": None,
        "max_seq_len": 2048,
        "model_type": "mpt",
        "n_heads": HEADS,
        "n_layers": LAYERS,
        "no_bias": True,
        "norm_type": "low_precision_layernorm",
        "resid_pdrop": 0,
        "tokenizer_name": "EleutherAI/gpt-neox-20b",
        "torch_dtype": "bfloat16",
        "transformers_version": "4.28.1",
        "use_cache": False,
        "verbose": 0,
        "vocab_size": VOCABULARY,
    }
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {"_from_model_config": True, "eos_token_id": [0, 259]})
    save_shards(folder, random_tensors(shapes, torch.bfloat16), 2, "pytorch_model.bin")
    neox_tokenizer(folder, "<|im_start|>", "<|im_end|>")
    for module in ("configuration_mpt", "modeling_mpt", "attention", "blocks"):
        hostile(folder / f"{module}.py")


def qwen(folder: Path) -> None:
    shapes = {
        "transformer.wte.weight": (VOCABULARY, HIDDEN),
        "transformer.ln_f.weight": (HIDDEN,),
        "lm_head.weight": (VOCABULARY, HIDDEN),
    }
    for layer in range(LAYERS):
        block = f"transformer.h.{layer}"
        shapes |= {
            f"{block}.ln_1.weight": (HIDDEN,),
            f"{block}.attn.c_attn.weight": (3 * HIDDEN, HIDDEN),
            f"{block}.attn.c_attn.bias": (3 * HIDDEN,),
            f"{block}.attn.c_proj.weight": (HIDDEN, HIDDEN),
            f"{block}.ln_2.weight": (HIDDEN,),
            f"{block}.mlp.w1.weight": (FFN, HIDDEN),
            f"{block}.mlp.w2.weight": (FFN, HIDDEN),
            f"{block}.mlp.c_proj.weight": (HIDDEN, FFN),
        }
    config = {
        "architectures": ["QWenLMHeadModel"],
        "auto_map": {
            "AutoConfig": "configuration_qwen.QWenConfig",
            "AutoModelForCausalLM": "modeling_qwen.QWenLMHeadModel",
        },
        "attn_dropout_prob": 0.0,
        "bf16": False,
        "emb_dropout_prob": 0.0,
        "fp16": False,
        "fp32": False,
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * FFN,
        "initializer_range": 0.02,
        "kv_channels": HIDDEN // HEADS,
        "layer_norm_epsilon": 1e-06,
        "max_position_embeddings": 32768,
        "model_type": "qwen",
        "no_bias": True,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "onnx_safe": None,
        "rotary_emb_base": 10000,
        "rotary_pct": 1.0,
        "scale_attn_weights": True,
        "seq_length": 8192,
        "tie_word_embeddings": False,
        "tokenizer_class": "QWenTokenizer",
        "transformers_version": "4.32.0",
        "use_cache": True,
        "use_dynamic_ntk": True,
        "use_flash_attn": "auto",
        "use_logn_attn": True,
        "vocab_size": VOCABULARY,
    }
    generation = {
        "chat_format": "chatml",
        "eos_token_id": 263,
        "pad_token_id": 263,
        "max_window_size": 24000,
        "max_new_tokens": 512,
        "do_sample": True,
        "top_k": 0,
        "top_p": 0.8,
        "repetition_penalty": 1.1,
        "transformers_version": "4.31.0",
    }
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", generation)
    save_shards(folder, random_tensors(shapes, torch.bfloat16), 8, "model.safetensors")
    qwen_tokenizer(folder)
    for module in ("configuration_qwen", "modeling_qwen", "qwen_generation_utils"):
        hostile(folder / f"{module}.py")


def chatglm(folder: Path) -> None:
    head = HIDDEN // HEADS
    shapes = {
        "transformer.embedding.word_embeddings.weight": (VOCABULARY, HIDDEN),
        "transformer.encoder.final_layernorm.weight": (HIDDEN,),
        "transformer.output_layer.weight": (VOCABULARY, HIDDEN),
        "transformer.rotary_pos_emb.inv_freq": (head // 4,),
    }
    for layer in range(LAYERS):
        block = f"transformer.encoder.layers.{layer}"
        shapes |= {
            f"{block}.input_layernorm.weight": (HIDDEN,),
            f"{block}.self_attention.query_key_value.weight": (HIDDEN + 2 * KV_HEADS * head, HIDDEN),
            f"{block}.self_attention.query_key_value.bias": (HIDDEN + 2 * KV_HEADS * head,),
            f"{block}.self_attention.dense.weight": (HIDDEN, HIDDEN),
            f"{block}.post_attention_layernorm.weight": (HIDDEN,),
            f"{block}.mlp.dense_h_to_4h.weight": (2 * FFN, HIDDEN),
            f"{block}.mlp.dense_4h_to_h.weight": (HIDDEN, FFN),
        }
    config = {
        "_name_or_path": "THUDM/chatglm3-6b",
        "model_type": "chatglm",
        "architectures": ["ChatGLMModel"],
        "auto_map": {
            "AutoConfig": "configuration_chatglm.ChatGLMConfig",
            "AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration",
            "AutoModelForCausalLM": "modeling_chatglm.ChatGLMForConditionalGeneration",
        },
        "add_bias_linear": False,
        "add_qkv_bias": True,
        "apply_query_key_layer_scaling": True,
        "apply_residual_connection_post_layernorm": False,
        "attention_dropout": 0.0,
        "attention_softmax_in_fp32": True,
        "bias_dropout_fusion": True,
        "ffn_hidden_size": FFN,
        "fp32_residual_connection": False,
        "hidden_dropout": 0.0,
        "hidden_size": HIDDEN,
        "kv_channels": head,
        "layernorm_epsilon": 1e-05,
        "multi_query_attention": True,
        "multi_query_group_num": KV_HEADS,
        "num_attention_heads": HEADS,
        "num_layers": LAYERS,
        "original_rope": True,
        "padded_vocab_size": VOCABULARY,
        "post_layer_norm": True,
        "rmsnorm": True,
        "seq_length": 8192,
        "use_cache": True,
        "torch_dtype": "float16",
        "transformers_version": "4.30.2",
        "tie_word_embeddings": False,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    tensors = random_tensors(shapes, torch.float16)
    write_json(folder / "config.json", config)
    save_shards(folder, tensors, 7, "model.safetensors")
    save_shards(folder, tensors, 7, "pytorch_model.bin")
    chatglm_tokenizer(folder)
    for module in ("configuration_chatglm", "modeling_chatglm", "quantization"):
        hostile(folder / f"{module}.py")


WRITERS: dict[str, Callable[[Path], None]] = {
    "tiny-llama-1b-chat": lambda folder: llama(
        folder, dtype=torch.bfloat16, num_key_value_heads=KV_HEADS, max_position_embeddings=2048
    ),
    "red-pajama-3b-chat": red_pajama,
    "llama-2-chat-7b": lambda folder: llama(folder, shards=2, pickles=2, max_position_embeddings=4096),
    "mpt-7b-chat": mpt,
    "qwen-7b-chat": qwen,
    "chatglm3-6b": chatglm,
    "mistral-7b": mistral,
    "zephyr-7b-beta": lambda folder: mistral(folder, shards=8, pickles=8),
    "neural-chat-7b-v3-1": lambda folder: mistral(folder, dtype=torch.float16),
    "notus-7b-v1": lambda folder: mistral(folder, shards=3, pickles=0),
    "youri-7b-chat": lambda folder: llama(folder, shards=2, pickles=2, max_position_embeddings=4096),
}
