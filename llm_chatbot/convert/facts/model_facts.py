"""The facts of a model before it is converted: licence, sizes, and what a conversion and a chat need.

`python converter.py --list --json` and `--info NAME --json` print it for the page, which compares it with what is free.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from llm_chatbot.catalogue.gguf_names import HubGGUF, is_language_model, quantization_in
from llm_chatbot.catalogue.lookup import UNKNOWN_LICENSE, get_model_config
from llm_chatbot.catalogue.row import GGUFWheel, ModelConfig
from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.convert.facts.found_in_words import found_in_words
from llm_chatbot.convert.resources import (
    available_disk,
    chat_memory,
    disk_needed,
    kv_values_per_token,
    memory_needed,
    weights_in_memory,
    weights_size,
)
from llm_chatbot.errors import UserError
from llm_chatbot.folder.found import converted_models, precision_label
from llm_chatbot.folder.manifest import WEIGHTS, complete_manifest
from llm_chatbot.folder.place import AS_IN_FILE, Precision, as_in_file, default_precision, precisions_of
from llm_chatbot.folder.variant import Variant
from llm_chatbot.gguf.header import GGUFHeader, read_gguf_header
from llm_chatbot.machine.memory import available_memory
from llm_chatbot.sources.gguf_files import find_ggufs, gguf_path
from llm_chatbot.sources.hub import Repository, describe_repository, gguf_files
from llm_chatbot.sources.hub_cache import cached_bytes, cached_size
from llm_chatbot.sources.json_files import read_checkpoint_json
from llm_chatbot.sources.mmproj_files import mmproj_of
from llm_chatbot.sources.weight_files import weight_files

# Tokens, for which the memory of a chat is given.
CONTEXTS = (2048, 4096, 8192, 16_384, 32_768, 131_072)

WORDS_CONTEXT = 8192  # of the memory that people are told of

# Bytes of a weight in a checkpoint, by the `torch_dtype` of its configuration.
BYTES_PER_WEIGHT = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class VariantFacts:
    """The needs of one precision of a model, in bytes.

    Attributes:
        label: the precision for people to read.
        converted: whether the folder is there, complete.
        weights: of the folder's weights; estimated where it isn't there.
        disk, memory: for the conversion.
        chat: for a chat that fills a context, by its tokens; empty if the size of the KV cache is unknown.
        checks: what was found out about the folder, see `check_folder`; empty if it isn't there.
    """

    label: str
    converted: bool
    weights: int
    disk: int
    memory: int
    chat: dict[int, int]
    checks: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelFacts:
    """A model that can be converted.

    Attributes:
        name: what `convert_model` takes.
        source: "catalogue", "gguf", "hub", "folder" or "converted" where only the result is known.
        model_id, description, license, parameters, gated: as in the catalogue.
        download: bytes that are still to be downloaded.
        context: tokens that the model was trained for; None: unknown.
        openvino_id: as in the catalogue.
        precision: see `default_precision`.
        variants: by precision; empty if the number of parameters is unknown.
        error: why the model can't be used, as `Text.as_json`; None if nothing speaks against it.
    """

    name: str
    source: str
    model_id: str = ""
    description: str = ""
    license: str = UNKNOWN_LICENSE
    parameters: int | None = None
    gated: bool = False
    download: int = 0
    context: int | None = None
    openvino_id: str | None = None
    precision: Precision = "INT4"
    variants: dict[Precision, VariantFacts] = field(default_factory=dict)
    error: dict[str, Any] | None = None


def all_models(root: Path) -> dict[str, Any]:
    """The catalogue, the GGUF files on this machine and what else is converted, and what is free, for JSON.

    Args:
        root: the folder of converted models.
    """
    models = {name: _catalogue(name, root) for name in SUPPORTED_LLM_MODELS}
    models |= {found.name: _stored_gguf(found.name, found.path, root) for found in find_ggufs()}
    for name, precisions in converted_models(root).items():
        models.setdefault(name, _only_converted(name, precisions, root))
    return {"models": [asdict(facts) for facts in models.values()], **what_is_free(root)}


def one_model(name: str, root: Path) -> dict[str, Any]:
    """The facts of any model that `convert_model` takes, and what is free, for JSON.

    Raises:
        UserError: there is no such model, or what is known of it can't be had.
    """
    config = get_model_config(name)
    if name in SUPPORTED_LLM_MODELS:
        facts = _catalogue(name, root)
    elif config.is_gguf and not isinstance(config.checkpoint, HubGGUF):
        facts = _gguf(name, gguf_path(config), config, root)
    elif isinstance(config.checkpoint, Path):
        facts = _folder(name, config, config.checkpoint, root)
    else:
        facts = _on_the_hub(name, config, root)
    return {"models": [asdict(facts)], **what_is_free(root)}


def _only_converted(name: str, precisions: list[Precision], root: Path) -> ModelFacts:
    """The facts of a model that is known by its folders alone."""
    config = ModelConfig(name, "", UNKNOWN_LICENSE)
    facts = _facts(name, "converted", config, root)
    if AS_IN_FILE not in precisions or not (own := _variant(Variant(name, config, AS_IN_FILE, root), None)):
        return facts
    return replace(facts, precision=AS_IN_FILE, variants={**facts.variants, AS_IN_FILE: own})


def what_is_free(root: Path) -> dict[str, int]:
    """Bytes that are free on the disk of `root` and in memory."""
    return {"free_disk": available_disk(root), "free_memory": available_memory()}


def _catalogue(name: str, root: Path) -> ModelFacts:
    config = SUPPORTED_LLM_MODELS[name]
    if isinstance(config.checkpoint, GGUFWheel):  # pip has its own cache
        return _facts(name, "catalogue", config, root, (config.checkpoint.quantization, config.checkpoint.size))
    checkpoint = 2 * (config.parameters or 0)  # at 16 bits
    return _facts(name, "catalogue", config, root, download=max(0, checkpoint - cached_bytes(config.model_id)))


def _facts(
    name: str,
    source: str,
    config: ModelConfig,
    root: Path,
    file: tuple[str, int] | None = None,
    tower: int = 0,
    **others: Any,
) -> ModelFacts:
    """The facts of a model with what its row of the catalogue, or one made for it, says.

    Args:
        file: how a GGUF file is quantized, and its size in bytes.
        tower: bytes of what reads images for it.
    """
    variants = {
        precision: _variant(Variant(name, config, precision, root), file, tower) for precision in precisions_of(config)
    }
    return ModelFacts(
        name,
        source,
        config.model_id,
        config.description,
        config.license,
        config.parameters,
        config.gated,
        openvino_id=config.openvino_id,
        precision=default_precision(config),
        variants={precision: facts for precision, facts in variants.items() if facts},
        **others,
    )


def _variant(variant: Variant, file: tuple[str, int] | None, tower: int = 0) -> VariantFacts | None:
    """The needs of a variant; None if nothing is known of its size. Args: as `_facts`."""
    manifest = complete_manifest(variant.folder)
    parameters = variant.config.parameters or manifest.get("parameters")
    is_own = variant.precision == AS_IN_FILE
    if not manifest and not (file if is_own else parameters):
        return None
    own = file[1] if is_own and file else None
    label = as_in_file(file[0]) if is_own and file else precision_label(variant.folder) or variant.precision
    converted = sum(manifest.get("files", {}).get(name, 0) for name in WEIGHTS)
    weights = converted or own or int(weights_size(variant, parameters or 0))
    in_memory = weights_in_memory(weights, variant.precision)
    in_memory += weights_in_memory(tower, "FP16") if is_own else 0  # a folder of a GGUF file reads no images
    kv_values = variant.config.kv_values or (_kv_values_of(variant.folder) if manifest else None)
    return VariantFacts(
        label=label,
        converted=bool(manifest),
        weights=weights,
        disk=disk_needed(variant, parameters or 0, weights if is_own else None),
        memory=memory_needed(variant, parameters or 0),
        chat={context: chat_memory(in_memory, kv_values, context) for context in CONTEXTS} if kv_values else {},
        checks=manifest.get("checks") or {},
    )


def _kv_values_of(folder: Path) -> int | None:
    try:
        return kv_values_per_token(read_checkpoint_json(folder / "config.json"))
    except UserError:  # damaged: the model is listed all the same, and loading it will say so
        return None


def _stored_gguf(name: str, path: Path, root: Path) -> ModelFacts:
    """The facts of a GGUF file, or why it can't be used."""
    try:
        return _gguf(name, path, get_model_config(name), root)
    except UserError as error:
        return ModelFacts(name, "gguf", error=error.as_json())


def _gguf(name: str, path: Path, config: ModelConfig, root: Path) -> ModelFacts:
    header = read_gguf_header(path)
    parameters = sum(math.prod(tensor.shape) for tensor in header.tensors.values())
    license = header.fields.text("general.license") or UNKNOWN_LICENSE
    architecture = header.fields.text("general.architecture") or "unknown"
    description = f"{architecture:.40}, {header.quantization}"
    config = replace(
        config, description=description, license=license, parameters=parameters, kv_values=_kv_values_in(header)
    )
    context = header.fields.integer(f"{architecture}.context_length")
    tower = max((file.stat().st_size for file in mmproj_of(config, path)), default=0)
    return _facts(name, "gguf", config, root, (header.quantization, header.size), tower, context=context)


def _kv_values_in(header: GGUFHeader) -> int | None:
    """As `kv_values_per_token`, of a GGUF file; its keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""
    fields, architecture = header.fields, header.fields.text("general.architecture")

    def integer(key: str) -> int | None:
        value = fields.get(f"{architecture}.{key}")
        return value if isinstance(value, int) else None  # some files have an array with a number for each layer

    layers, heads = integer("block_count"), integer("attention.head_count")
    width, kv_heads = integer("embedding_length"), integer("attention.head_count_kv") or heads
    head_size = integer("attention.key_length") or (width // heads if width and heads else None)
    return 2 * layers * kv_heads * head_size if layers and kv_heads and head_size else None


def _folder(name: str, config: ModelConfig, folder: Path, root: Path) -> ModelFacts:
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    weights = weight_files(sizes, lambda index: folder / index).names
    described = read_checkpoint_json(folder / "config.json")
    return _described(name, "folder", config, described, sum(sizes.get(name, 0) for name in weights), root)


def _on_the_hub(name: str, config: ModelConfig, root: Path) -> ModelFacts:
    if isinstance(source := config.checkpoint, HubGGUF):
        repository = describe_repository(source.repo_id, config.revision)
        config = replace(config, license=repository.license, gated=repository.gated)
        return _gguf_on_the_hub(name, config, source, repository, root)
    cached = cached_bytes(config.model_id)
    repository = describe_repository(config.model_id, config.revision)
    if repository.config is None:
        raise UserError("hub.no_config", repository=config.model_id)
    config = replace(config, license=repository.license, gated=repository.gated, parameters=repository.parameters)
    facts = _described(name, "hub", config, read_checkpoint_json(repository.config), repository.weights, root)
    return replace(facts, download=max(0, repository.weights - cached))


def _gguf_on_the_hub(name: str, config: ModelConfig, source: HubGGUF, repository: Repository, root: Path) -> ModelFacts:
    """The facts of a GGUF file in a repository: its name says how it is quantized."""
    sizes = repository.files
    wanted = gguf_files(source.repo_id, sizes, source.file)
    there = sum(cached_size(source.repo_id, file, repository.commit) or 0 for file in wanted)
    download = max(0, sum(sizes[file] for file in wanted) - there)
    own = sum(sizes[file] for file in wanted if is_language_model(file))
    return _facts(name, "hub", config, root, (quantization_in(wanted[0]), own), download=download)


def _described(
    name: str, source: str, config: ModelConfig, described: dict[str, Any], weights: int, root: Path
) -> ModelFacts:
    """The facts of a checkpoint with a `config.json` and so many bytes of weights."""
    bytes_per_weight = BYTES_PER_WEIGHT.get(str(described.get("torch_dtype") or described.get("dtype")), 2)
    parameters = config.parameters or weights // bytes_per_weight or None
    config = replace(config, parameters=parameters, kv_values=kv_values_per_token(described))
    context = described.get("max_position_embeddings")
    return _facts(name, source, config, root, context=context if isinstance(context, int) else None)


def in_words(facts: dict[str, Any]) -> Iterator[str]:
    """The facts of models as lines for people."""
    for model in facts["models"]:
        parameters = f"{model['parameters'] / 1e9:.1f} billion weights" if model["parameters"] else "size unknown"
        download = f", {model['download'] / 1e9:.1f} GB to download" if model["download"] else ""
        gated = ", gated" if model["gated"] else ""
        yield f"{model['name']}: {parameters}, licence: {model['license']}{gated}{download}"
        for variant in model["variants"].values():
            chat = f", to chat {variant['chat'][WORDS_CONTEXT] / 1e9:.1f} GB of memory" if variant["chat"] else ""
            done = " (converted)" if variant["converted"] else ""
            yield (
                f"  {variant['label']}: {variant['weights'] / 1e9:.1f} GB; to convert {variant['disk'] / 1e9:.1f} GB "
                f"of disk and {variant['memory'] / 1e9:.1f} GB of memory{chat}{done}"
            )
            yield from (f"    {sentence}" for sentence in found_in_words(variant["checks"]))
    yield f"Free: {facts['free_disk'] / 1e9:.1f} GB of disk, {facts['free_memory'] / 1e9:.1f} GB of memory"
