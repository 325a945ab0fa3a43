"""Small checkpoints to change, and what the tests change in them."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

DATA = Path(__file__).resolve().parent / "data"
MODELS = ("chatglm3-tiny", "mpt-tiny", "qwen-tiny")


def write_llama(folder: Path) -> Path:
    """Writes a checkpoint in Transformers' own format, in two files."""
    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=64
    )
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="25KB")
    assert (folder / "model.safetensors.index.json").is_file()
    return folder


def change_config(folder: Path, **changes) -> None:
    """Changes entries of a checkpoint's config; None removes one."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | changes
    config = {name: value for name, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def as_pickle(folder: Path) -> Path:
    """Replaces a checkpoint's safetensors file by a pickle."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder / "pytorch_model.bin"


def same_weights(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    weights = other.state_dict()
    return all(torch.equal(tensor, weights[name]) for name, tensor in one.state_dict().items())


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
