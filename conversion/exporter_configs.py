"""Architectures that Optimum Intel exports correctly, but refuses with the installed version of Transformers.

Importing this module registers them, in the way Optimum Intel registers its own.
"""

from config import UserError

import transformers
from optimum.exporters.openvino.model_configs import (
    Gemma2OpenVINOConfig,
    Gemma3TextOpenVINOConfig,
    GemmaOpenVINOConfig,
    GLMOpenVINOConfig,
)
from optimum.exporters.tasks import TasksManager
from packaging.version import Version

TASK = "text-generation-with-past"

# Optimum Intel 2.2 allows them up to Transformers 5.0. With 5.5 the graphs compute what the torch models do: see the
# tests.
PROVEN_VERSION = "5.5.99"

register = TasksManager.create_register("openvino", overwrite_existing=True)


@register("glm", "text-generation", TASK, library_name="transformers")
class GLMExport(GLMOpenVINOConfig):
    MAX_TRANSFORMERS_VERSION = PROVEN_VERSION


@register("gemma", "text-generation", TASK, library_name="transformers")
class GemmaExport(GemmaOpenVINOConfig):
    MAX_TRANSFORMERS_VERSION = PROVEN_VERSION


@register("gemma2", "text-generation", TASK, library_name="transformers")
class Gemma2Export(Gemma2OpenVINOConfig):
    MAX_TRANSFORMERS_VERSION = PROVEN_VERSION


@register("gemma3_text", "text-generation", TASK, library_name="transformers")
class Gemma3TextExport(Gemma3TextOpenVINOConfig):
    MAX_TRANSFORMERS_VERSION = PROVEN_VERSION


def check_exportable(model_type: str) -> None:
    """Checks that Optimum Intel can export models of this type, before any weights are read.

    Raises:
        UserError: it cannot.
    """
    try:
        constructor = TasksManager.get_exporter_config_constructor(
            "openvino", model_type=model_type, task=TASK, library_name="transformers"
        )
    except (KeyError, ValueError) as error:
        raise UserError(
            f"Optimum Intel cannot export a model of the type {model_type!r} for chat; choose a model of another type."
        ) from error
    newest = getattr(constructor.func, "MAX_TRANSFORMERS_VERSION", None)
    if newest and Version(transformers.__version__) > Version(str(newest)):
        raise UserError(
            f"Optimum Intel cannot export a model of the type {model_type!r} with Transformers "
            f"{transformers.__version__}; choose a model of another type."
        )
