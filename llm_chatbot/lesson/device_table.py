"""The same model on each device of this machine."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from llm_chatbot.engine.cache.block_pool import common_length
from llm_chatbot.engine.decode.generation import stream_ids
from llm_chatbot.engine.decode.sampling import Sampling
from llm_chatbot.engine.devices import available_devices
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.session import Model
from llm_chatbot.engine.text.prompt import prompt_ids
from llm_chatbot.engine.text.tokenizer import FolderTokenizer

NUM_TOKENS = 32


@dataclass(frozen=True)
class DeviceFigures:
    """How a device runs a model.

    Attributes:
        device: its name.
        load_seconds: until the model is ready.
        first_token_ms: from the question to the first token of the answer.
        tokens_per_second: of the tokens after it.
        same_tokens: how many tokens the greedy answer begins with that are the first device's too.
    """

    device: str
    load_seconds: float
    first_token_ms: float
    tokens_per_second: float
    same_tokens: int


def compare_devices(
    folder: Path,
    question: str,
    devices: Sequence[str] | None = None,
    open: Callable[[Path, str], Model] = open_model,
) -> list[DeviceFigures]:
    """Has each device answer a question greedily, and compares the answers with the first device's.

    Args:
        folder: a converted model.
        question: of a user.
        devices: None: the CPU, then all others of this machine.
        open: loads the folder on a device.

    Raises:
        UserError: a device can't run the model.
    """
    ids = prompt_ids(FolderTokenizer(folder), [{"role": "user", "content": question}])
    names = [name for name in available_devices() if name not in ("AUTO", "CPU")]
    figures: list[DeviceFigures] = []
    expected: list[int] | None = None
    for device in devices or ["CPU", *names]:
        start = time.perf_counter()
        model = open(folder, device)
        loaded = time.perf_counter() - start
        tokens, seconds = _answer(model, ids)
        expected = expected or tokens
        rate = (len(tokens) - 1) / (seconds[-1] - seconds[0]) if len(tokens) > 1 else 0.0
        figures.append(DeviceFigures(device, loaded, 1000 * seconds[0], rate, common_length(expected, tokens)))
    return figures


def _answer(model: Model, ids: Sequence[int]) -> tuple[list[int], list[float]]:
    """The first tokens of the greedy answer, and when each came, in seconds."""
    for prompt in (ids[::-1], ids):  # first another text of this length, for which the device prepares itself
        start = time.perf_counter()
        stream = islice(stream_ids(model.new_cache(), prompt, Sampling(), model.stop_ids), NUM_TOKENS)
        timed = [(token, time.perf_counter() - start) for token in stream]
    return [token for token, _ in timed], [seconds for _, seconds in timed]
