"""The settings of an encoder's checkpoint."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llm_chatbot.errors import UserError
from llm_chatbot.sources.json_files import damaged_checkpoint, read_checkpoint_json

Pooling = Literal["mean", "cls", "max"]

# Architectures, each with whether its first position is behind the padding token's id (RoBERTa, Liu et al. 2019).
ENCODER_TYPES = {"bert": False, "camembert": True, "roberta": True, "xlm-roberta": True}

# Activations, as OpenVINO's operations compute them.
HIDDEN_ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu")

# How sentence-transformers calls the ways to make one vector of many: its `Pooling` module's settings.
POOLINGS: Mapping[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}
NEUTRAL_MODULES = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True)
class EncoderSettings:
    """The sizes and kinds of a checkpoint.

    Attributes:
        folder: of the checkpoint.
        architecture: one of `ENCODER_TYPES`.
        hidden, layers, heads, vocabulary: sizes.
        types: how many kinds of texts it tells apart when it reads two.
        epsilon: what norms add to the variance.
        activation: one of `HIDDEN_ACTIVATIONS`.
        first_position: the row of the table of positions that the first token has.
        max_tokens: how many tokens a text may have, those included that the tokenizer puts around it.
        pooling: how one vector is made of those of all tokens.
        is_classifier: whether it gives a score for two texts instead of a vector for one.
        shorter: to how many values a vector may be cut, for models that were trained so (Matryoshka representations,
            Kusupati et al. 2022, arXiv:2205.13147); True: to any number.
    """

    folder: Path
    architecture: str
    hidden: int
    layers: int
    heads: int
    vocabulary: int
    types: int
    epsilon: float
    activation: str
    first_position: int
    max_tokens: int
    pooling: Pooling
    is_classifier: bool
    shorter: tuple[int, ...] | bool = ()

    @property
    def scale(self) -> float:
        """The factor of products of queries and keys."""
        return 1 / math.sqrt(self.hidden // self.heads)

    def may_be_cut(self, dimensions: int) -> bool:
        """Whether vectors with so many values may be asked for."""
        if isinstance(self.shorter, bool):
            return dimensions == self.hidden or (self.shorter and dimensions < self.hidden)
        return dimensions in (self.hidden, *self.shorter)


def read_encoder_settings(folder: Path) -> EncoderSettings:
    """
    Raises:
        UserError: a file is missing or damaged, or the model is of a kind that is not supported.
    """
    config = read_checkpoint_json(folder / "config.json")
    _check_kind(folder, config)
    try:
        first = int(config.get("pad_token_id", 1)) + 1 if ENCODER_TYPES[config["model_type"]] else 0
        settings = EncoderSettings(
            folder=folder,
            architecture=config["model_type"],
            hidden=int(config["hidden_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            vocabulary=int(config["vocab_size"]),
            types=int(config.get("type_vocab_size", 2)),
            epsilon=float(config.get("layer_norm_eps", 1e-12)),
            activation=config.get("hidden_act", "gelu"),
            first_position=first,
            max_tokens=int(config["max_position_embeddings"]) - first,
            pooling=_read_pooling(folder),
            is_classifier=_is_classifier(config),
            shorter=_shorter(config),
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise damaged_checkpoint(folder / "config.json") from error
    sizes = (settings.hidden, settings.layers, settings.heads, settings.vocabulary, settings.types, settings.max_tokens)
    if min(sizes) < 1 or settings.hidden % settings.heads:
        raise damaged_checkpoint(folder / "config.json")
    return settings


def _check_kind(folder: Path, config: Mapping[str, Any]) -> None:
    kind, known = config.get("model_type"), ", ".join(ENCODER_TYPES)
    if kind not in ENCODER_TYPES:
        raise UserError("encoder.architecture", folder=folder, architecture=repr(kind), known=known)
    settings = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}
    for name, value in settings.items():
        if config.get(name, value) != value:
            raise UserError("encoder.not_supported", folder=folder, what=f"{name}={config[name]!r}")
    if config.get("hidden_act", "gelu") not in HIDDEN_ACTIVATIONS:
        raise UserError("encoder.not_supported", folder=folder, what=f"hidden_act={config['hidden_act']!r}")


def _is_classifier(config: Mapping[str, Any]) -> bool:
    names = config.get("architectures") or []
    return any(str(name).endswith("ForSequenceClassification") for name in names)


def _shorter(config: Mapping[str, Any]) -> tuple[int, ...] | bool:
    sizes = config.get("matryoshka_dimensions")
    return tuple(int(size) for size in sizes) if sizes else bool(config.get("is_matryoshka"))


def _read_pooling(folder: Path) -> Pooling:
    """The pooling that sentence-transformers' files ask for; the mean where there are none.

    Raises:
        UserError: they ask for something else.
    """
    modules = _read_list(folder / "modules.json")
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    for kind in kinds:
        if kind not in NEUTRAL_MODULES:
            raise UserError("encoder.not_supported", folder=folder, what=kind)
    places = [str(module.get("path", "")) for module, kind in zip(modules, kinds, strict=True) if kind == "Pooling"]
    if not places:
        return "mean"
    config = read_checkpoint_json(folder / Path(places[0]).name / "config.json")
    wanted = [name for name, value in config.items() if name.startswith("pooling_mode") and value is True]
    if isinstance(config.get("pooling_mode"), str):  # as newer versions write it
        wanted = [f"pooling_mode_{config['pooling_mode']}_tokens".replace("cls_tokens", "cls_token")]
    if len(wanted) != 1 or wanted[0] not in POOLINGS:
        raise UserError("encoder.not_supported", folder=folder, what=", ".join(wanted) or "pooling_mode")
    return POOLINGS[wanted[0]]


def _read_list(path: Path) -> list[dict[str, Any]]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise damaged_checkpoint(path) from error
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise damaged_checkpoint(path)
    return value
