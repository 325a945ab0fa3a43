from contextlib import nullcontext
from itertools import count
from pathlib import Path

import numpy as np

from llm_chatbot.engine.cache.pace import Pace
from llm_chatbot.lesson.device_table import NUM_TOKENS, compare_devices


class FakeModel:
    """Counts upwards; `wrong_from` says where another device begins to answer otherwise."""

    context_length = None
    images = None

    def __init__(self, wrong_from: int | None = None) -> None:
        self.stop_ids: set[int] = set()
        self.pace = Pace()
        self.wrong_from = wrong_from

    def new_cache(self):
        return FakeCache(self.wrong_from)

    def in_use(self, cache):
        return nullcontext()


class FakeCache:
    def __init__(self, wrong_from: int | None) -> None:
        self.ids: list[int] = []
        self.places = count()
        self.wrong_from = wrong_from

    def feed(self, ids) -> np.ndarray:
        self.ids += ids
        place = next(self.places)
        wrong = self.wrong_from is not None and place >= self.wrong_from
        return np.eye(100)[99 if wrong else place]


def test_a_device_that_answers_otherwise_is_found(embedded_folder: Path):
    models = {"CPU": FakeModel(), "GPU.0": FakeModel(), "GPU.1": FakeModel(wrong_from=3)}
    found = compare_devices(embedded_folder, "Hello!", list(models), open=lambda folder, device: models[device])
    assert [each.device for each in found] == ["CPU", "GPU.0", "GPU.1"]
    assert [each.same_tokens for each in found] == [NUM_TOKENS, NUM_TOKENS, 3]
    assert all(each.first_token_ms > 0 and each.tokens_per_second > 0 for each in found)


def test_the_cpu_is_the_first_device(embedded_folder: Path):
    cpu, *_ = compare_devices(embedded_folder, "Hello!")
    assert cpu.device == "CPU" and cpu.load_seconds > 0 and cpu.same_tokens > 0
