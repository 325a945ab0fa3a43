"""Measures memory and time of a conversion: converts a random checkpoint by this project and by Optimum's command line.

    python -m benchmarks.conversion FOLDER [--shape 1.1B|experts|7B] [--precisions INT4 INT4-AWQ INT8 FP16]
        [--paths stock ours direct] [--output DIR]

Writes a checkpoint with random bfloat16 weights to FOLDER, shard by shard, and removes it in the end. The 7B shape
needs 15 GB of disk for it, and up to 20 GB for a conversion. Each conversion is a process of its own; while it runs,
its anonymous memory (on Linux `RssAnon`) is sampled: what the system can't take back, unlike the page cache. Prints a
table, and writes `conversion.json` and `conversion.png` to the output folder.

`direct` writes the graph without PyTorch's (`--direct`); of experts, `ours` does too. Stock FP16 is left out of the 7B
shape: it makes a copy of all weights in memory. INT4-AWQ has data-free AWQ, and INT4-SCALES scale estimation, which
runs the model.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from llm_chatbot.catalogue.row import Int4Settings

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parents[1]

SHARD_BYTES = 1_000_000_000  # of a file of the checkpoint, about

INT4 = Int4Settings("INT4_SYM", group_size=64, ratio=0.6)
VARIANTS = {
    "FP16": INT4,
    "INT8": INT4,
    "INT4": INT4,
    "INT4-AWQ": replace(INT4, awq=True),
    "INT4-SCALES": replace(INT4, scale_estimation=True),
}

SHAPES = {
    "1.1B": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 32000,
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
    },
    "experts": {  # of 1.3 billion weights: layers as of Qwen3 30B A3B, with a quarter of its experts
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "vocab_size": 32000,
        "hidden_size": 2048,
        "moe_intermediate_size": 768,
        "num_hidden_layers": 8,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "num_experts": 32,
        "num_experts_per_tok": 8,
        "norm_topk_prob": True,
    },
    "7B": {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
}


def make_checkpoint(folder: Path, shape: dict, pickled: bool = False) -> None:
    """Writes a checkpoint with random weights, one shard in memory at a time, and a tokenizer that knows bytes only."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    folder.mkdir(parents=True)
    config = AutoConfig.for_model(**shape, dtype="bfloat16")
    config.save_pretrained(folder)
    GenerationConfig(bos_token_id=1, eos_token_id=2).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)

    weight_map: dict[str, str] = {}
    shard: dict[str, torch.Tensor] = {}

    def write_shard() -> None:
        name = f"model-{len(set(weight_map.values())):05}.{'bin' if pickled else 'safetensors'}"
        weight_map.update(dict.fromkeys(shard, name))
        if pickled:
            torch.save(shard, folder / name)
        else:
            save_file(shard, folder / name, metadata={"format": "pt"})
        shard.clear()

    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        tensor = torch.empty(parameter.shape, dtype=torch.bfloat16)
        shard |= published(name, tensor.fill_(1) if tensor.ndim == 1 else tensor.normal_(0, 0.02))
        if sum(tensor.nbytes for tensor in shard.values()) > SHARD_BYTES:
            write_shard()
    write_shard()
    index = "pytorch_model.bin.index.json" if pickled else "model.safetensors.index.json"
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}), encoding="utf-8")


def published(name: str, tensor: "torch.Tensor") -> dict[str, "torch.Tensor"]:
    """A parameter of a model as checkpoints have it: the matrices of experts, which Transformers joins, one by one."""
    if ".experts." not in name:
        return {name: tensor}
    start, kind = name.rsplit(".", 1)
    kinds = ("gate_proj", "up_proj") if kind == "gate_up_proj" else (kind,)
    return {
        f"{start}.{number}.{one}.weight": part.contiguous()
        for number, expert in enumerate(tensor)
        for one, part in zip(kinds, expert.chunk(len(kinds)), strict=True)
    }


def byte_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = ["<unk>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={token: id for id, token in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def anonymous_memory(process: psutil.Process) -> int:
    """Bytes of a process that are in no file: on Linux `RssAnon`."""
    memory = process.memory_info()
    return memory.rss - memory.shared if sys.platform == "linux" else getattr(memory, "private", memory.rss)


def sample(command: list[str], interval: float = 0.1, cwd: Path | None = None) -> list[tuple[float, float, int]]:
    """Runs a command and returns its (seconds, seconds of processors, anonymous bytes) from time to time.

    Raises:
        RuntimeError: the command failed.
    """
    start, samples = time.perf_counter(), []
    with psutil.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            try:
                cpu = process.cpu_times()
                samples.append((time.perf_counter() - start, cpu.user + cpu.system, anonymous_memory(process)))
            except psutil.Error:  # it ended between the two calls
                break
            time.sleep(interval)
        _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {errors[-2000:]}")
    return samples


def command_of(path: str, checkpoint: Path, precision: str, output: Path) -> list[str]:
    if path != "stock":
        own = [sys.executable, "-m", "benchmarks.conversion", str(checkpoint)]
        own += ["--convert", precision, "--output", str(output)]
        return [*own, "--direct"] if path == "direct" else own
    from llm_chatbot.convert.export.exporter_configs import TASK

    int4 = ["--weight-format", "int4", "--sym", "--group-size", str(INT4.group_size), "--ratio", str(INT4.ratio)]
    options = {
        "FP16": ["--weight-format", "fp16"],
        "INT8": ["--weight-format", "int8"],
        "INT4": int4,
        "INT4-AWQ": [*int4, "--awq"],
        "INT4-SCALES": [*int4, "--scale-estimation", "--dataset", "wikitext2"],
    }[precision]
    cli = [sys.executable, "-m", "optimum.commands.optimum_cli", "export", "openvino", "--model", str(checkpoint)]
    return [*cli, "--task", TASK, *options, str(output)]


def draw(results: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    precisions = list(dict.fromkeys(result["precision"] for result in results))
    figure, axes = plt.subplots(1, len(precisions), figsize=(4 * len(precisions), 3.4), sharey=True, squeeze=False)
    for axis, precision in zip(axes[0], precisions, strict=True):
        for result in results:
            if result["precision"] == precision:
                style = {"linewidth": 2, "color": "#3b6ea5" if result["path"] == "ours" else "#c44e52"}
                seconds, size = zip(*result["samples"], strict=True)
                axis.plot(seconds, [value / 2**30 for value in size], label=result["path"], **style)
        axis.set(title=precision, xlabel="seconds")
    axes[0][0].set(ylabel="anonymous memory, GiB", ylim=(0, 1.05 * max(result["peak"] for result in results) / 2**30))
    axes[0][-1].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure conversions of a random checkpoint, ours and Optimum's.")
    parser.add_argument("folder", type=Path, help="for the checkpoint and the results, which are removed in the end")
    parser.add_argument("--shape", choices=SHAPES, default="7B")
    parser.add_argument("--precisions", nargs="+", choices=VARIANTS, default=["FP16", "INT8", "INT4"])
    parser.add_argument("--paths", nargs="+", choices=["stock", "ours", "direct"], default=["stock", "ours"])
    parser.add_argument("--output", type=Path, default=ROOT / "figures", help="for conversion.json and conversion.png")
    parser.add_argument("--convert", metavar="PRECISION", help="only convert the checkpoint FOLDER, into --output")
    parser.add_argument("--direct", action="store_true", help="with --convert: without PyTorch's graph")
    arguments = parser.parse_args()
    if arguments.convert:
        from llm_chatbot.convert.conversion import convert_model

        precision, int4 = arguments.convert.split("-")[0], VARIANTS[arguments.convert]
        convert_model(str(arguments.folder), precision, arguments.output, int4, direct=arguments.direct)
        return

    work = arguments.folder.resolve() / f"conversion-{arguments.shape}"
    results = []
    try:
        make_checkpoint(work / "checkpoint", SHAPES[arguments.shape])
        print("| precision | path | peak, GiB | seconds | of CPU |\n|---|---|---:|---:|---:|")
        for precision in arguments.precisions:
            for path in arguments.paths:
                if (path, precision, arguments.shape) == ("stock", "FP16", "7B"):
                    continue
                samples = sample(command_of(path, work / "checkpoint", precision, work / "converted"), cwd=ROOT)
                shutil.rmtree(work / "converted")
                peak, (seconds, cpu, _) = max(size for _, _, size in samples), samples[-1]
                curve = [(round(moment, 1), size) for moment, _, size in samples[::10]]
                facts = {"precision": precision, "path": path, "peak": peak, "seconds": seconds, "cpu": cpu}
                results.append({**facts, "samples": curve})
                print(f"| {precision} | {path} | {peak / 2**30:.2f} | {seconds:.0f} | {cpu:.0f} |", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "conversion.json").write_text(json.dumps(results) + "\n", encoding="utf-8")
    draw(results, arguments.output / "conversion.png")


if __name__ == "__main__":
    main()
