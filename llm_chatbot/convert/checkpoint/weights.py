"""The tensors of a checkpoint folder → a Transformers model.

Weights are mapped into memory, not read: they take hardly any memory until something computes with them.
"""

import pickle
import zipfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedConfig, PreTrainedModel

from llm_chatbot.convert.checkpoint.generation import SPECIAL_IDS, read_generation_config
from llm_chatbot.errors import UserError
from llm_chatbot.sources.weight_files import PICKLE, SAFETENSORS, weight_files
from llm_chatbot.texts import Text

# Files that an error message names as weights in a format that is not supported.
OTHER_WEIGHTS = (".h5", ".msgpack", ".ot", ".onnx", ".pth", ".pt", ".gguf", ".ckpt", ".safetensors", ".bin")

# What the 4 bits of an MXFP4 number stand for, without the sign.
E2M1_VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)

DTYPES = (torch.float16, torch.bfloat16, torch.float32)

TorchTensors = dict[str, torch.Tensor]
ModelClasses = Mapping[type[PreTrainedConfig], type[PreTrainedModel]]


# Reading


def read_tensors(folder: Path) -> TorchTensors:
    """All tensors of a checkpoint by name, mapped from its safetensors files or, if it has none, from its pickles.

    Raises:
        UserError: there are no such files, some are missing, or one is damaged or holds more than tensors.
    """
    tensors: TorchTensors = {}
    for path in files_with_weights(folder):
        try:
            tensors.update(read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path))
        except pickle.UnpicklingError as error:
            raise UserError("checkpoint.unsafe", path=path, safetensors=SAFETENSORS) from error
        except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError("checkpoint.weights_damaged", path=path) from error
    return tensors


def files_with_weights(folder: Path) -> list[Path]:
    """The files that hold a checkpoint's weights.

    Raises:
        UserError: there are none in a known format, or some are missing.
    """
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    found = weight_files(there, lambda index: folder / index)
    missing = ", ".join(found.missing)
    if found.whole and found.index:
        raise UserError("checkpoint.stale_index", index=folder / found.index, files=missing, whole=found.whole)
    if missing:
        raise UserError("checkpoint.shards_missing", folder=folder, files=missing)
    if not found.names:
        others = sorted(path.name for path in folder.iterdir() if path.suffix in OTHER_WEIGHTS)
        values = {"folder": folder, "safetensors": SAFETENSORS, "pickle": PICKLE}
        if others:
            raise UserError("checkpoint.other_weights", files=", ".join(others), **values)
        raise UserError("checkpoint.no_weights", **values)
    return [folder / name for name in found.names]


def read_safetensors(path: Path) -> TorchTensors:
    """A file's tensors, mapped."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is not a dict


def _read_pickle(path: Path) -> TorchTensors:
    """A pickle's tensors. Pickles written since PyTorch 1.6 are zip files, which can be mapped."""
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    return {name: tensor for name, tensor in content.items() if isinstance(tensor, torch.Tensor)}


# Rewriting for another architecture


def rename_tensors(tensors: TorchTensors, names: dict[str, str]) -> TorchTensors:
    """The tensors with every key of `names` in their names replaced by its value, one after the other."""
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in names.items():
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def split_qkv(tensors: TorchTensors, rows: Sequence[int]) -> TorchTensors:
    """The tensors with each `qkv_proj` split into views: `q_proj`, `k_proj`, `v_proj`.

    A `qkv_proj` with another number of rows in all is left for `build_model` to refuse.

    Args:
        rows: of the query, key and value projections.
    """
    split = {}
    for name, tensor in tensors.items():
        if ".qkv_proj." in name and len(tensor) == sum(rows):
            for letter, part in zip("qkv", tensor.split(list(rows)), strict=True):
                split[name.replace(".qkv_proj.", f".{letter}_proj.")] = part
        else:
            split[name] = tensor
    return split


def split_gate_up(tensors: TorchTensors, name: str) -> TorchTensors:
    """The tensors with each `name` split into views of its halves: `gate_proj` and `up_proj`."""
    split = {}
    for key, tensor in tensors.items():
        if name in key and len(tensor) % 2 == 0:
            for part, half in zip(("gate_proj", "up_proj"), tensor.chunk(2), strict=True):
                split[key.replace(name, part)] = half
        else:
            split[key] = tensor
    return split


def unpack_mxfp4(tensors: TorchTensors) -> TorchTensors:
    """The tensors with each pair of `name_blocks` and `name_scales` as the weight `name`, in bfloat16, which is exact.

    MXFP4 is of the Open Compute Project: https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf.
    32 neighbours in a row share a power of two; the bytes hold two numbers of 4 bits each, the lower half first.

    Args:
        tensors: blocks [experts, rows, groups, 16] and scales [experts, rows, groups], uint8. Others are left as they
            are, for `build_model` to refuse.

    Returns:
        Weights [experts, columns, rows], as Transformers has them.
    """
    codes = torch.arange(256)
    values = torch.tensor([sign * value for sign in (1, -1) for value in E2M1_VALUES], dtype=torch.bfloat16)
    pairs = torch.stack([values[codes & 15], values[codes >> 4]], dim=1)
    unpacked = dict(tensors)
    for name, blocks in tensors.items():
        weight = name.removesuffix("_blocks")
        scales = tensors.get(f"{weight}_scales")
        if weight == name or scales is None or blocks.shape[:-1] != scales.shape or blocks.dim() != 4:
            continue
        numbers = torch.ldexp(pairs[blocks.int()], scales.int()[..., None, None] - 127)
        unpacked[weight] = numbers.flatten(2).transpose(1, 2).contiguous()
        del unpacked[name], unpacked[f"{weight}_scales"]
    return unpacked


def drop_tensors(tensors: TorchTensors, suffix: str) -> TorchTensors:
    """The tensors without those whose names end in `suffix`."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(suffix)}


# Building


def build_model(
    folder: Path, config: PreTrainedConfig, tensors: TorchTensors, classes: ModelClasses = MODEL_FOR_CAUSAL_LM_MAPPING
) -> PreTrainedModel:
    """A model with these tensors as its parameters, in the precision that most of them have.

    Args:
        folder: the checkpoint, for its `generation_config.json` and for messages.
        classes: Transformers' classes of models by those of their configs.

    Raises:
        UserError: they are not the tensors of a model with this config.
    """
    model_class, dtype = classes[type(config)], _dtype_of(folder, tensors)
    if config.tie_word_embeddings:
        tensors = _without_tied(model_class, tensors)
    # Shapes are compared first: Transformers would allocate every tensor that does not fit.
    with torch.device("meta"):
        expected = model_class(config).state_dict()
    _check(
        folder,
        "checkpoint.mismatch.shape",
        {name for name in expected.keys() & tensors if expected[name].shape != tensors[name].shape},
    )
    model, report = model_class.from_pretrained(
        None,
        config=config,
        state_dict=tensors,
        dtype=dtype,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are reported instead
    )
    _check(folder, "checkpoint.mismatch.shape", {name for name, *_ in report["mismatched_keys"]})
    _check(folder, "checkpoint.mismatch.missing", report["missing_keys"])
    _check(folder, "checkpoint.mismatch.unexpected", report["unexpected_keys"])
    _take_special_ids(folder, model)
    return model


def _without_tied(model_class: type[PreTrainedModel], tensors: TorchTensors) -> TorchTensors:
    """The tensors without an output layer of their own, where the config promises that it is the embedding's.

    Transformers 5 would keep one with other values, as a merge or an adapter's tool may leave it behind. Names count
    by their ends, because Transformers reads tensors of a model's part under other beginnings too.
    """
    tied = model_class._tied_weights_keys
    tables = {_end(head): _end(table) for head, table in tied.items()} if isinstance(tied, dict) else {}
    ends = {name: _end(name) for name in tensors}
    return {name: tensor for name, tensor in tensors.items() if tables.get(ends[name]) not in ends.values()}


def _end(name: str) -> str:
    """The last two parts of a tensor's name, such as "lm_head.weight"."""
    return ".".join(name.split(".")[-2:])


def _dtype_of(folder: Path, tensors: TorchTensors) -> torch.dtype:
    """The type that most of the weights have."""
    sizes: Counter[torch.dtype] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype] += tensor.numel()
    dtype = max(sizes, key=lambda dtype: sizes[dtype], default=None)
    if dtype not in DTYPES:
        raise UserError("checkpoint.weights_type", folder=folder, type=dtype)
    return dtype


def _check(folder: Path, problem: str, names: Collection[str]) -> None:
    """Refuses tensors that are not those of the model that `config.json` describes."""
    if names:
        first, more = sorted(names)[0], len(names) - 1
        one = Text("checkpoint.one_tensor", name=first)
        tensors = Text("checkpoint.more_tensors", name=first, more=more) if more else one
        raise UserError("checkpoint.mismatch", folder=folder, tensors=tensors, problem=Text(problem))


def _take_special_ids(folder: Path, model: PreTrainedModel) -> None:
    """Takes the special tokens from the checkpoint's `generation_config.json`, if it has one.

    Sampling settings are left to the user; some checkpoints' contradict each other, and Transformers refuses to save
    those.
    """
    settings = read_generation_config(folder)
    for name in SPECIAL_IDS:
        if settings.get(name) is not None:
            setattr(model.generation_config, name, settings[name])
