"""The engines that are compared, each behind the same interface. What only one of them needs is imported by that one.

ours       stream_ids on the INT4 folder, with the KV cache kept between turns
bare loop  infer requests that do nothing with the logits but take the largest: what the runtime allows
optimum    stock Optimum Intel: OVModelForCausalLM.generate on the same folder
genai      OpenVINO GenAI's LLMPipeline on the same folder
llama.cpp  llama-cpp-python on the GGUF file that the folder was made from
torch      Transformers on PyTorch, from the same GGUF file, bfloat16

`ours without lookup` is the engine without prompt lookup, for `bounds.py`.
"""

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

SAMPLED: dict[str, Any] = {"temperature": 0.7, "top_p": 0.9, "top_k": 50, "repetition_penalty": 1.1}


class Engine:
    """A way to run the model. `stream` yields the tokens that follow a prompt, and never stops by itself before `n`.

    Attributes:
        reads_gguf: whether it needs no converted folder.
        times: when each token of the latest stream came, where it yields them all at the end; else None.
    """

    reads_gguf = False
    times: list[float] | None = None

    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        raise NotImplementedError

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        raise NotImplementedError

    def forget(self) -> None:
        """Empties whatever the engine keeps between two prompts."""


class Ours(Engine):
    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        from llm_chatbot.engine.loading import open_model

        self.cache: Any = open_model(folder, ov_config={"INFERENCE_NUM_THREADS": threads}).new_cache()

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        from llm_chatbot.engine.decode.generation import stream_ids
        from llm_chatbot.engine.decode.sampling import Sampling

        kept = self.cache.trim_to_prefix(ids[:-1])
        sampling = Sampling(**SAMPLED) if sampled else Sampling()
        return islice(stream_ids(self.cache, ids[kept:], sampling, stop_ids=set(), seed=0), n)

    def forget(self) -> None:
        self.cache.reset()


class WithoutLookup(Ours):
    """For comparisons of decoding: what is drafted from the text depends on the text."""

    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        from benchmarks.paged import open_paged

        self.cache = open_paged(folder, INFERENCE_NUM_THREADS=threads).new_cache()


class BareLoop(Engine):
    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        import openvino as ov

        from llm_chatbot.folder.manifest import MODEL_XML

        core = ov.Core()
        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        self.request = core.compile_model(folder / MODEL_XML, "CPU", config).create_infer_request()

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        import numpy as np

        self.request.reset_state()
        fed, past = np.array([ids]), 0
        for _ in range(n):
            total = past + fed.shape[1]
            inputs = {
                "input_ids": fed,
                "attention_mask": np.ones((1, total), dtype=np.int64),
                "position_ids": np.arange(past, total)[None],
                "beam_idx": np.zeros(1, dtype=np.int32),
            }
            self.request.infer(inputs, share_inputs=True, share_outputs=True)
            past, fed = total, self.request.get_tensor("logits").data[:, -1:].argmax(-1)
            yield int(fed[0, 0])


class Generating(Engine):
    """Anything with Transformers' `generate`."""

    model: Any

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        import torch

        arrived: list[int] = []
        times: list[float] = []

        class Streamer:
            def put(self, tokens: torch.Tensor) -> None:
                if tokens.ndim == 1:  # the prompt comes first, with two dimensions
                    arrived.append(int(tokens[0]))
                    times.append(time.perf_counter())

            def end(self) -> None:
                pass

        options = {"do_sample": True, **SAMPLED} if sampled else {"do_sample": False}
        inputs = torch.tensor([ids])
        self.model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=n,
            min_new_tokens=n,
            streamer=Streamer(),
            **options,
        )
        self.times = times
        return iter(arrived)


class Optimum(Generating):
    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        from optimum.intel import OVModelForCausalLM

        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        self.model = OVModelForCausalLM.from_pretrained(folder, ov_config=config)


class Torch(Generating):
    reads_gguf = True

    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        self.model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)


class GenAI(Engine):
    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        import openvino_genai

        self.pipeline = openvino_genai.LLMPipeline(folder, "CPU", INFERENCE_NUM_THREADS=threads)

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        import numpy as np
        import openvino as ov
        import openvino_genai

        times: list[float] = []

        class Streamer(openvino_genai.StreamerBase):
            def write(self, tokens) -> openvino_genai.StreamingStatus:
                count = len(tokens) if isinstance(tokens, list) else 1
                times.extend([time.perf_counter()] * count)
                return openvino_genai.StreamingStatus.RUNNING

            def end(self) -> None:
                pass

        config = openvino_genai.GenerationConfig(max_new_tokens=n, ignore_eos=True, do_sample=sampled)
        if sampled:
            config.update_generation_config(**SAMPLED)
        result = self.pipeline.generate(ov.Tensor(np.array([ids])), config, Streamer())
        self.times = times
        return iter(result.tokens[0])


class LlamaCpp(Engine):
    reads_gguf = True

    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        from llama_cpp import Llama

        self.llama = Llama(
            str(gguf), n_ctx=8192, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False, seed=0
        )

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        settings: dict[str, Any] = (
            {"temp": 0.7, "top_p": 0.9, "top_k": 50, "repeat_penalty": 1.1} if sampled else {"temp": 0.0}
        )
        return islice(self.llama.generate(ids, min_p=0.0, **settings), n)

    def forget(self) -> None:
        self.llama.reset()


ENGINES: dict[str, tuple[type[Engine], str]] = {
    "ours": (Ours, "openvino"),
    "bare loop": (BareLoop, "openvino"),
    "optimum": (Optimum, "optimum"),
    "genai": (GenAI, "openvino_genai"),
    "llama.cpp": (LlamaCpp, "llama_cpp"),
    "torch": (Torch, "torch"),
    "ours without lookup": (WithoutLookup, "openvino_genai"),  # which benchmarks/paged.py imports
}
PEERS = ("ours", "bare loop", "optimum", "genai", "llama.cpp", "torch")
