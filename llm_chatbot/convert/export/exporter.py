"""A Transformers model → OpenVINO IR and tokenizers in a folder, with the checkpoint's weights unchanged.

A checkpoint's tensors are mapped into memory. Tracing does not convert 16-bit weights and OpenVINO's constants share
their memory, so nothing is copied before the file is written. `model.half()`, or loading in another type than the
checkpoint's, would copy all weights.
"""

from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import openvino as ov
import optimum.exporters.openvino.convert as optimum_convert
import torch
from optimum.exporters.openvino import export_from_model
from optimum.intel import OVConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llm_chatbot.convert.export.exporter_configs import IMAGE_TASK, TASK
from llm_chatbot.convert.export.quiet import quiet, without_log
from llm_chatbot.convert.patching import patched
from llm_chatbot.convert.tokenizer.openvino_tokenizers import save_as_openvino
from llm_chatbot.machine.json_progress import write_step
from llm_chatbot.machine.progress import watching

KNOWN_OPTIMUM_INTEL = "2.2."  # its exporter writes models with `optimum_convert.save_model`


def can_hand_over() -> bool:
    """Whether `export` can replace Optimum's writer in the installed version."""
    return version("optimum-intel").startswith(KNOWN_OPTIMUM_INTEL)


def export(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    write: Callable[[ov.Model, Path], None] | None = None,
) -> None:
    """Writes to `folder` the model as OpenVINO IR, its configurations, and the tokenizer for Transformers and OpenVINO.

    Args:
        model: a language model, or one that reads images: then its parts become a graph each, see `IMAGE_PARTS`. It has
            the parameters in the checkpoint's own type. 16-bit parameters are kept; 32-bit ones become float16
            one by one as they are written.
        write: called with each IR and the path of its .xml instead of Optimum's writer; requires `can_hand_over()`.
    """
    is_16bit = any(parameter.dtype in (torch.float16, torch.bfloat16) for parameter in model.parameters())
    task = IMAGE_TASK if hasattr(model.config, "vision_config") else TASK
    with quiet(), without_log(), ExitStack() as bar, ExitStack() as patches:
        bar.enter_context(
            watching(
                "Exporting",
                2 * model.num_parameters(),
                lambda: sum(f.stat().st_size for f in folder.glob("*_model.bin")),
            )
        )

        def write_and_show(ov_model: ov.Model, path: Path, compress_to_fp16: bool) -> None:
            bar.close()  # `write` shows its own
            write(ov_model, Path(path))  # type: ignore[misc]

        if write:
            patches.enter_context(patched(optimum_convert, "save_model", lambda _: write_and_show))
        if can_hand_over():  # the model is traced once, and not twice more for a comparison that only warns
            patches.enter_context(patched(optimum_convert, "allow_skip_tracing_check", lambda _: lambda *names: True))
        export_from_model(
            model,
            output=folder,
            task=task,
            # "auto" keeps each constant's type. With None, models over 1B parameters are compressed to 8 bits.
            ov_config=OVConfig(dtype="auto" if is_16bit or write else "fp16"),
            preprocessors=[tokenizer],
            patch_16bit_model=is_16bit,  # traces without a 32-bit copy of the weights
        )
    write_step("Tokenizer")
    save_as_openvino(tokenizer, folder)
