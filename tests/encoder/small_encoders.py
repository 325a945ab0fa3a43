"""Small encoders with random weights, as checkpoints of sentence-transformers."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, PreTrainedConfig, PreTrainedModel, XLMRobertaConfig

WORDS = ["a", "the", "capital", "of", "france", "italy", "is", "paris", "rome", "question", "answer"]
WORDS += [".", "?", ",", "food", "man", "eating", "dog"]
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "initializer_range": 0.3,
}
TOKENS = 40  # that a text may have


def write_bert(folder: Path, model: type[PreTrainedModel], pooling: str = "mean", **settings: Any) -> PreTrainedModel:
    """Writes a checkpoint of the form of BERT, and returns its model."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    config = BertConfig(**SIZES, vocab_size=len(special + WORDS), max_position_embeddings=TOKENS, **settings)
    write_tokenizer(folder, special, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    return write_checkpoint(folder, config, model, pooling)


def write_xlm_roberta(folder: Path, model: type[PreTrainedModel], pooling: str = "mean", **settings: Any) -> Any:
    """As `write_bert`, of the form of XLM-RoBERTa: its positions begin behind the id of the padding."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    sizes = {"vocab_size": len(special + WORDS), "max_position_embeddings": TOKENS + 2, "type_vocab_size": 1}
    write_tokenizer(folder, special, "<s> $A </s>", "<s> $A </s> </s> $B </s>")
    return write_checkpoint(folder, XLMRobertaConfig(**SIZES, **sizes, pad_token_id=1, **settings), model, pooling)


def write_tokenizer(folder: Path, special: list[str], single: str, pair: str) -> None:
    """One that cuts and pads, as that of all-MiniLM-L6-v2."""
    folder.mkdir(parents=True, exist_ok=True)
    unknown = next(token for token in special if "unk" in token.lower())
    tokenizer = Tokenizer(models.WordLevel({word: id for id, word in enumerate(special + WORDS)}, unknown))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(special)
    ids = [(token, special.index(token)) for token in special]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))


def write_checkpoint(
    folder: Path, config: PreTrainedConfig, kind: type[PreTrainedModel], pooling: str
) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(config).eval()  # type: ignore[operator]
        for name, parameter in model.named_parameters():
            if "bias" in name or "LayerNorm" in name:  # Transformers begins with zeros and ones
                torch.nn.init.normal_(parameter, 0.5, 0.3)
    model.save_pretrained(folder)
    modules = [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (folder / "1_Pooling").mkdir(exist_ok=True)
    names = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}
    chosen = {f"pooling_mode_{name}": kind == pooling for kind, name in names.items()}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(chosen), encoding="utf-8")
    return model
