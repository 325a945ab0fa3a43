"""Does a GPU or NPU compute what the CPU does? Drivers have had faults that show in nothing but wrong answers.

https://github.com/openvinotoolkit/openvino/issues/37419 and /35723 are two. The result is remembered for each folder,
device and driver.
"""

import logging
from collections.abc import Callable, Sequence
from itertools import islice

import openvino as ov

from llm_chatbot.engine.cache.block_pool import common_length
from llm_chatbot.engine.decode.generation import stream_ids
from llm_chatbot.engine.decode.sampling import Sampling
from llm_chatbot.engine.files import ModelFiles
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.engine.text.prompt import completion_ids
from llm_chatbot.machine.cache import measured_once

logger = logging.getLogger(__name__)

COMPARED_TOKENS = 16
# Rounding alone makes two devices differ sooner or later; a fault shows at once.
EARLY = 4
PROMPT = "The capital of France is Paris, the capital of Italy is Rome, and the capital of Japan is"


def warn_of_wrong_answers(
    model: ChatModel, files: ModelFiles, device: str, open_on_cpu: Callable[[], ChatModel]
) -> None:
    """Logs a warning if a device's greedy tokens differ early from the CPU's. Does nothing for the CPU itself.

    Args:
        model: on the device.
        files: what it was opened from.
        open_on_cpu: opens the same model on the CPU; called once for each model, device and driver.
    """
    if not device.upper().startswith(("GPU", "NPU")):
        return

    def compare() -> int:
        ids = completion_ids(files.tokenizer, PROMPT)
        return common_length(_greedy(model, ids), _greedy(open_on_cpu(), ids))

    equal = measured_once("devices.json", _key(files, device), compare)
    if equal < EARLY:
        logger.warning(
            "%s answers otherwise than the CPU from token %d on, so its answers may be wrong; update its driver, or "
            "choose the device CPU.",
            device,
            equal + 1,
        )


def _greedy(model: ChatModel, ids: Sequence[int]) -> list[int]:
    return list(islice(stream_ids(model.new_cache(), ids, Sampling(), set()), COMPARED_TOKENS))


def _key(files: ModelFiles, device: str) -> str:
    """The model with its weights' size and time, the device and its driver."""
    weights = files.weights_file.stat()
    return f"{files.path.resolve()}, {weights.st_size}, {weights.st_mtime_ns}, {device}, {driver(device)}"


def driver(device: str) -> str:
    """The device's name, its driver's version where the runtime tells it, and the runtime's version."""
    core = ov.Core()
    facts = [ov.get_version()]
    for name in ("FULL_DEVICE_NAME", "GPU_DRIVER_VERSION", "NPU_DRIVER_VERSION"):
        try:
            facts.append(str(core.get_property(device, name)))
        except RuntimeError:  # another device's property, or a device that has none
            continue
    return " ".join(facts)
