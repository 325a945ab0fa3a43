"""The tensors of a checkpoint folder → a Transformers model, with its weights mapped from the files.

Weights are mapped into memory, not read: a model takes hardly any of the machine's own until something works on it.
"""

import json
import pickle
import zipfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from config import UserError

import torch
from safetensors import SafetensorError, safe_open
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedConfig, PreTrainedModel

# In the order of preference: a safetensors file is data and nothing else.
SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"

# What tells someone else's weights from a file that merely lies in the folder.
OTHER_WEIGHTS = (".h5", ".msgpack", ".ot", ".onnx", ".pth", ".pt", ".gguf", ".ckpt", ".safetensors", ".bin")

DTYPES = (torch.float16, torch.bfloat16, torch.float32)

Tensors = dict[str, torch.Tensor]


def read_tensors(folder: Path) -> Tensors:
    """All tensors of a checkpoint by name, mapped from safetensors files, or else from pickles.

    Raises:
        UserError: there are no such files, some are missing, or one is damaged or holds more than tensors.
    """
    tensors: Tensors = {}
    for path in _weight_files(folder):
        try:
            tensors.update(_safetensors(path) if path.suffix == ".safetensors" else _pickle(path))
        except pickle.UnpicklingError as error:
            raise UserError(
                f"{path} is damaged, or holds more than tensors and could run code; "
                f"download the checkpoint again or choose one with {SAFETENSORS} files."
            ) from error
        except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} is damaged or cut short; remove it and download the checkpoint again.") from error
    return tensors


def build_model(folder: Path, config: PreTrainedConfig, tensors: Tensors) -> PreTrainedModel:
    """A model whose parameters are these tensors, in the precision that most of them have.

    Raises:
        UserError: they are not the tensors of a model with this config.
    """
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    sizes: Counter[torch.dtype] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype] += tensor.numel()
    dtype = sizes.most_common(1)[0][0] if sizes else None
    if dtype not in DTYPES:
        raise UserError(f"{folder} holds weights of the type {dtype}; choose a checkpoint with 16-bit or 32-bit ones.")

    # Shapes are compared first: Transformers would make room for every tensor that does not fit.
    with torch.device("meta"):
        expected = model_class(config).state_dict()
    _check(folder, "shape", {name for name in expected.keys() & tensors if expected[name].shape != tensors[name].shape})
    model, report = model_class.from_pretrained(
        None,
        config=config,
        state_dict=tensors,
        dtype=dtype,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are reported instead
    )
    _check(folder, "shape", {name for name, *_ in report["mismatched_keys"]})
    _check(folder, "missing", report["missing_keys"])
    _check(folder, "unexpected", report["unexpected_keys"])
    _read_generation_config(folder, model)
    return model


def _weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, in the first of the formats that is there."""
    for name in (SAFETENSORS, PICKLE):
        index = folder / f"{name}.index.json"
        if index.is_file():
            names = read_json(index).get("weight_map")
            if not isinstance(names, dict):
                raise UserError(f"{index} is damaged; remove it and download the checkpoint again.")
            shards = [folder / shard for shard in sorted(set(names.values()))]
            if absent := [shard.name for shard in shards if not shard.is_file()]:
                raise UserError(f"{folder} lacks {', '.join(absent)}; download the checkpoint again to complete it.")
            return shards
        if (folder / name).is_file():
            return [folder / name]
    others = sorted(path.name for path in folder.iterdir() if path.suffix in OTHER_WEIGHTS)
    found = f"only {', '.join(others)}, which can't be read here" if others else "no weights"
    raise UserError(f"{folder} holds {found}; download the checkpoint's {SAFETENSORS} or {PICKLE} files.")


def _safetensors(path: Path) -> Tensors:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is not a dict


def _pickle(path: Path) -> Tensors:
    """A pickle's tensors. Those written since PyTorch 1.6 are zip files, which can be mapped."""
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    return {name: tensor for name, tensor in content.items() if isinstance(tensor, torch.Tensor)}


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"There is no {path}; name the folder of a whole checkpoint or download it again.") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged; remove it and download the checkpoint again.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged; remove it and download the checkpoint again.")
    return content


def _read_generation_config(folder: Path, model: PreTrainedModel) -> None:
    """Takes the tokens that begin and end a text from `generation_config.json`, where the checkpoint has one.

    How tokens are chosen is the user's to say, and some checkpoints' values contradict each other, which
    Transformers refuses to write again.
    """
    if (folder / "generation_config.json").is_file():
        said = read_json(folder / "generation_config.json")
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            if said.get(name) is not None:
                setattr(model.generation_config, name, said[name])


def _check(folder: Path, what: str, names: Collection[str]) -> None:
    """Refuses weights that are not those of the model that `config.json` describes."""
    said = {"shape": "have another shape than", "missing": "are missing for", "unexpected": "have no place in"}[what]
    if names:
        first, more = sorted(names)[0], len(names) - 1
        which = f"{first} and {more} more tensors" if more else f"tensor {first}"
        raise UserError(
            f"{folder}: {which} {said} the model that its config.json describes; "
            f"download the whole checkpoint again, from one revision."
        )
