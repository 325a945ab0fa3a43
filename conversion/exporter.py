"""A Transformers model → OpenVINO IR and tokenizers in a folder, with the weights as they are in the checkpoint.

A checkpoint's tensors are mapped into memory, not read. Tracing leaves 16-bit weights alone, OpenVINO's
constants share their memory, and so nothing is copied before the file is written. `model.half()` before,
or loading in another type than the checkpoint's, would copy everything.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

from conversion.exporter_configs import TASK
from conversion.original_tokenizers import save_as_openvino
from conversion.progress import quiet, watching

import openvino as ov
import optimum.exporters.openvino.convert as optimum_convert
import torch
from optimum.exporters.openvino import export_from_model
from optimum.intel import OVConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase

MODEL_XML = "openvino_model.xml"

KNOWN_OPTIMUM_INTEL = "2.2."  # Its exporter saves with a function of `optimum_convert` that is called `save_model`.


def can_hand_over() -> bool:
    """Whether `export` can give the model to another writer than Optimum's."""
    return version("optimum-intel").startswith(KNOWN_OPTIMUM_INTEL)


def export(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    write: Callable[[ov.Model, Path], None] | None = None,
) -> None:
    """Writes to `folder` the model as OpenVINO IR, its configurations, and the tokenizer in both forms.

    Args:
        model: with the parameters in the checkpoint's own type. 16-bit ones are kept as they are; 32-bit ones
            become float16 one by one as they are written.
        write: gets the IR and the path of its .xml in place of Optimum's writer, if `can_hand_over()`.
    """
    is_16bit = any(parameter.dtype in (torch.float16, torch.bfloat16) for parameter in model.parameters())
    weights = (folder / MODEL_XML).with_suffix(".bin")
    with quiet(), ExitStack() as bar:
        bar.enter_context(
            watching(
                "Exporting", 2 * model.num_parameters(), lambda: weights.stat().st_size if weights.is_file() else 0
            )
        )

        def write_and_show(ov_model: ov.Model, path: Path, compress_to_fp16: bool) -> None:
            bar.close()  # the writer shows bars of its own
            write(ov_model, Path(path))  # type: ignore[misc]

        with _optimum_saving_by(write_and_show if write else optimum_convert.save_model):
            export_from_model(
                model,
                output=folder,
                task=TASK,
                # "auto" keeps every constant's type. Without any, models over 1B parameters are compressed to 8 bits.
                ov_config=OVConfig(dtype="auto" if is_16bit or write else "fp16"),
                preprocessors=[tokenizer],
                patch_16bit_model=is_16bit,  # traces 16-bit weights as they are instead of through a 32-bit copy
            )
    save_as_openvino(tokenizer, folder)


@contextmanager
def _optimum_saving_by(save_model: Callable[..., None]) -> Iterator[None]:
    """Lets Optimum's exporter call `save_model(ov_model, path, compress_to_fp16)` to write what it made.

    The model is traced once, and not twice more for a comparison that only warns.
    """
    replaced: dict[str, Callable] = {"save_model": save_model}
    if can_hand_over():
        replaced["allow_skip_tracing_check"] = lambda library, model_type: True
    original = {name: getattr(optimum_convert, name) for name in replaced}
    try:
        vars(optimum_convert).update(replaced)
        yield
    finally:
        vars(optimum_convert).update(original)
