import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_chatbot.engine import loading
from llm_chatbot.engine.device_check import COMPARED_TOKENS, driver
from llm_chatbot.engine.files import ModelFiles


class FakeCache:
    """Finds the tokens 0, 1, 2, … likeliest, and from a certain one on the same token for ever."""

    def __init__(self, right_tokens: int) -> None:
        self._right, self._step = right_tokens, -1
        self.ids: list[int] = []

    def feed(self, ids: list[int]) -> np.ndarray:
        self.ids += ids
        self._step += 1
        return np.eye(50, dtype=np.float32)[self._step if self._step < self._right else 49]


class Devices:
    """A machine with a GPU.

    Attributes:
        right_tokens: how many of the GPU's first tokens are the CPU's.
        opened: the devices that a model was opened on.
    """

    def __init__(self) -> None:
        self.right_tokens = COMPARED_TOKENS
        self.opened: list[str] = []

    def open(self, files: ModelFiles, device: str, *args: Any) -> Any:
        self.opened.append(device)
        right = self.right_tokens if device.startswith("GPU") else COMPARED_TOKENS
        return type("FakeModel", (), {"new_cache": staticmethod(lambda: FakeCache(right))})()


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture) -> Devices:
    devices = Devices()
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path))
    monkeypatch.setattr(loading, "check_device", lambda device: None)
    monkeypatch.setattr(loading, "ChatModel", devices.open)
    return devices


@pytest.mark.parametrize("right_tokens", [0, 2])
def test_a_gpu_that_answers_wrongly_is_warned_of(right_tokens: int, devices: Devices, embedded_folder: Path, logged):
    devices.right_tokens = right_tokens
    loading.open_model(embedded_folder, "GPU")
    assert f"GPU answers otherwise than the CPU from token {right_tokens + 1} on" in logged.text
    assert "choose the device CPU" in logged.text


@pytest.mark.parametrize("right_tokens", [12, COMPARED_TOKENS])
def test_rounding_that_shows_late_is_no_fault(right_tokens: int, devices: Devices, embedded_folder: Path, logged):
    devices.right_tokens = right_tokens
    with logged.at_level(logging.WARNING):
        loading.open_model(embedded_folder, "GPU.1")
    assert logged.text == "" and devices.opened == ["GPU.1", "CPU"]


def test_a_device_is_compared_once_and_warned_of_each_time(devices: Devices, embedded_folder: Path, logged):
    devices.right_tokens = 0
    for _ in range(2):
        loading.open_model(embedded_folder, "GPU")
    assert devices.opened == ["GPU", "CPU", "GPU"] and len(logged.records) == 2


def test_another_driver_is_compared_anew(devices: Devices, embedded_folder: Path, monkeypatch: pytest.MonkeyPatch):
    loading.open_model(embedded_folder, "GPU")
    monkeypatch.setattr("llm_chatbot.engine.device_check.driver", lambda device: "a newer one")
    loading.open_model(embedded_folder, "GPU")
    assert devices.opened == ["GPU", "CPU", "GPU", "CPU"]


def test_the_cpu_is_not_compared_with_itself(devices: Devices, embedded_folder: Path):
    for device in ("CPU", "AUTO"):
        loading.open_model(embedded_folder, device)
    assert devices.opened == ["CPU", "AUTO"]


def test_the_driver_is_named_as_far_as_the_runtime_knows_it():
    assert len(driver("CPU").split()) > 2
