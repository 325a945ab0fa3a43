"""Processor time of one thread of each engine for the same random 1.1B weights, which other load hardly changes.

    python -m benchmarks.one_thread [WEIGHTS…] [--rounds N]

WEIGHTS are GPTQ-32, GPTQ-128 and GPTQ-128-asymmetric, a checkpoint whose integers this engine, OpenVINO GenAI and ONNX
Runtime GenAI take over; or a type of a GGUF file, for this engine and llama.cpp: Q4_0 or Q4_K_M. The peers come by
`pip install onnxruntime-genai onnx onnx-ir llama-cpp-python`. Each engine is a process of its own, and they take turns.
Prints medians.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.peers import Engine, GenAI, LlamaCpp
from benchmarks.speed import some_tokens, start_process

GPTQ = {"GPTQ-32": (32, True), "GPTQ-128": (128, True), "GPTQ-128-asymmetric": (128, False)}
GGUF = ("Q4_0", "Q4_K_M")
SHAPE = "1.1B"
TOKENS = 24  # of an answer
TOGETHER = 16  # conversations


class Ours(Engine):
    """The paged engine without prompt lookup."""

    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        from benchmarks.paged import open_paged

        self.model = open_paged(folder, INFERENCE_NUM_THREADS=threads)

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        self.answer([ids], n)
        return iter(())

    def answer(self, prompts: list[list[int]], n: int) -> None:
        from benchmarks.paged import greedy

        caches = [self.model.new_cache() for _ in prompts]
        with ThreadPoolExecutor(len(prompts)) as threads:
            list(threads.map(lambda cache, ids: list(greedy(cache.feed, ids, n - 1)), caches, prompts))
        for cache in caches:
            cache.release()


class Batching(GenAI):
    """OpenVINO GenAI, whose continuous batching is loaded when several conversations are asked for."""

    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        super().__init__(folder, gguf, threads)
        self.folder, self.threads = folder, threads

    def answer(self, prompts: list[list[int]], n: int) -> None:
        import openvino as ov
        import openvino_genai

        if not hasattr(self, "batching"):
            scheduler = openvino_genai.SchedulerConfig()
            scheduler.cache_size = 1
            properties = {"INFERENCE_NUM_THREADS": self.threads}
            self.batching = openvino_genai.ContinuousBatchingPipeline(self.folder, scheduler, "CPU", properties)
        config = openvino_genai.GenerationConfig(max_new_tokens=n, ignore_eos=True)
        self.batching.generate([ov.Tensor(np.array([ids])) for ids in prompts], [config] * len(prompts))


class OnnxRuntime(Engine):
    """ONNX Runtime GenAI, with what its builder has written beside the folder. A prompt is read from its start."""

    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        import onnxruntime_genai

        config = onnxruntime_genai.Config(str(onnx_folder(folder)))
        config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
        self.model = onnxruntime_genai.Model(config)

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        self.answer([ids], n)
        return iter(())

    def answer(self, prompts: list[list[int]], n: int) -> None:
        """A batch, whose prompts have one length."""
        import onnxruntime_genai

        parameters = onnxruntime_genai.GeneratorParams(self.model)
        length = len(prompts[0]) + n
        parameters.set_search_options(max_length=length, min_length=length, do_sample=False, batch_size=len(prompts))
        generator = onnxruntime_genai.Generator(self.model, parameters)
        generator.append_tokens(np.array(prompts, np.int32))
        for _ in range(n):
            generator.generate_next_token()


ENGINES: dict[str, type[Engine]] = {
    "ours": Ours,
    "GenAI": Batching,
    "ONNX Runtime GenAI": OnnxRuntime,
    "llama.cpp": LlamaCpp,
}


def onnx_folder(folder: Path) -> Path:
    return folder.parent / "ONNX"


def spent(action: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of processors."""
    started = time.process_time()
    action(*arguments)
    return time.process_time() - started


def answer_one(engine: Engine, ids: list[int], n: int) -> None:
    engine.forget()
    list(engine.stream(ids, n))


def measured(engine: Engine, seed: int) -> dict[str, float]:
    """Of new prompts, which no engine has read before."""
    first = spent(answer_one, engine, some_tokens((seed, "first"), 128), 1)
    whole = spent(answer_one, engine, some_tokens((seed, "whole"), 128), TOKENS + 1)
    found = {"a token, ms": 1000 * (whole - first) / TOKENS}
    found["1,024 tokens read, s"] = spent(answer_one, engine, some_tokens((seed, "long"), 1024), 1)
    if isinstance(engine, Ours | Batching | OnnxRuntime):
        prompts = [some_tokens((seed, place), 30) for place in range(TOGETHER)]
        found[f"{TOGETHER} × {TOKENS} tokens, s"] = spent(engine.answer, prompts, TOKENS)
    return found


def work(name: str, folder: Path, gguf: Path, pipe: Connection) -> None:
    """A process: loads an engine, then measures whenever it is told to."""
    engine = ENGINES[name](folder, gguf, 1)
    while (seed := pipe.recv()) is not None:
        pipe.send(measured(engine, seed))


def compare(names: list[str], folder: Path, gguf: Path, rounds: int) -> dict[str, list[dict[str, float]]]:
    """What was measured of each engine in each round."""
    started = {name: start_process(work, name, folder, gguf) for name in names}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for seed in range(rounds + 1):  # the first is a warm-up
        for name, (_, pipe) in started.items():
            pipe.send(seed)
            found[name].append(pipe.recv())
    for process, pipe in started.values():
        pipe.send(None)
        process.join()  # before the folder that it has mapped is removed
    return found


def write_gptq(folder: Path, group: int, is_symmetric: bool) -> None:
    """A random checkpoint of 4-bit integers, the output layer's too, with scales that round to no zero."""
    import torch
    from safetensors.torch import save_file

    from benchmarks.conversion import SHAPES, byte_tokenizer

    shape: dict[str, Any] = SHAPES[SHAPE]
    width, inner, layers = shape["hidden_size"], shape["intermediate_size"], range(shape["num_hidden_layers"])
    narrow = width * shape["num_key_value_heads"] // shape["num_attention_heads"]
    matrices = {f"self_attn.{name}_proj": (width, width) for name in "qo"}
    matrices |= {f"self_attn.{name}_proj": (narrow, width) for name in "kv"}
    matrices |= {"mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width), "mlp.down_proj": (width, inner)}
    linear = {f"model.layers.{layer}.{name}": size for layer in layers for name, size in matrices.items()}
    linear["lm_head"] = shape["vocab_size"], width
    norms = ["model.norm"]
    norms += [f"model.layers.{each}.{name}_layernorm" for each in layers for name in ("input", "post_attention")]
    random = np.random.default_rng(0)
    tensors: dict[str, np.ndarray] = {f"{name}.weight": np.ones(width, np.float16) for name in norms}
    vectors = 0.02 * random.standard_normal((shape["vocab_size"], width))
    tensors["model.embed_tokens.weight"] = vectors.astype(np.float16)
    for name, (rows, columns) in linear.items():
        groups = columns // group
        # A word has eight integers, and the zero points less one: 7 in all of them is the middle of the range.
        zeros = (
            np.full((groups, rows // 8), 0x77777777)
            if is_symmetric
            else random.integers(0, 1 << 31, (groups, rows // 8))
        )
        tensors[f"{name}.qweight"] = random.integers(-(1 << 31), 1 << 31, (columns // 8, rows)).astype(np.int32)
        tensors[f"{name}.qzeros"] = zeros.astype(np.int32)
        tensors[f"{name}.scales"] = random.uniform(0.002, 0.004, (groups, rows)).astype(np.float16)
        tensors[f"{name}.g_idx"] = (np.arange(columns) // group).astype(np.int32)
    folder.mkdir()
    save_file({name: torch.from_numpy(array) for name, array in tensors.items()}, folder / "model.safetensors")
    quantization = {"quant_method": "gptq", "bits": 4, "group_size": group, "sym": is_symmetric, "desc_act": False}
    more = {
        "quantization_config": quantization,
        "dtype": "float16",
        "max_position_embeddings": 4096,
        "hidden_act": "silu",
    }
    content = {**shape, **more, "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2}
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    byte_tokenizer().save_pretrained(folder)


def of_checkpoint(name: str, work: Path) -> tuple[list[str], Path, Path]:
    """The engines for a checkpoint, and the folder that ours and GenAI's have, with ONNX Runtime's beside it."""
    from llm_chatbot.convert.conversion import convert_model

    write_gptq(work / name, *GPTQ[name])
    folder = convert_model(str(work / name), "INT4", work)
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-p", "int4", "-e", "cpu"]
    paths = ["-i", str(work / name), "-o", str(onnx_folder(folder)), "-c", str(work / "cache")]
    subprocess.run([*builder, *paths], check=True, stdout=subprocess.DEVNULL)
    return ["ours", "GenAI", "ONNX Runtime GenAI"], folder, folder


def of_file(name: str, work: Path) -> tuple[list[str], Path, Path]:
    """The engines for a GGUF file, which opens as it is."""
    from gguf import GGMLQuantizationType

    from benchmarks.conversion import SHAPES
    from benchmarks.random_gguf import write_llama

    path = work / f"{name}.gguf"
    write_llama(path, SHAPES[SHAPE], GGMLQuantizationType.Q4_0 if name == "Q4_0" else None)
    return ["ours", "llama.cpp"], path, path


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare engines by the processor time of one thread.")
    parser.add_argument("weights", nargs="*", metavar="WEIGHTS", help=f"of: {', '.join([*GPTQ, *GGUF])} (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if unknown := set(arguments.weights) - {*GPTQ, *GGUF}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    for weights in arguments.weights or [*GPTQ, *GGUF]:
        with tempfile.TemporaryDirectory() as work:
            prepare = of_checkpoint if weights in GPTQ else of_file
            found = compare(*prepare(weights, Path(work)), arguments.rounds)
        labels = list(found["ours"][0])
        print(f"\n| {weights} | {' | '.join(labels)} |\n|---|{'---:|' * len(labels)}")
        for name, values in found.items():
            figures = [median(value.get(label, float("nan")) for value in values[1:]) for label in labels]
            print(f"| {name} | {' | '.join(f'{figure:,.1f}' for figure in figures)} |", flush=True)


if __name__ == "__main__":
    main()
