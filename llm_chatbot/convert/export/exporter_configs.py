"""Architectures that Optimum Intel exports correctly, but refuses with the installed version of Transformers.

Importing this module registers them, in the way Optimum Intel registers its own.
"""

from difflib import get_close_matches

import transformers
from optimum.exporters.openvino.utils import MULTI_MODAL_TEXT_GENERATION_MODELS
from optimum.exporters.tasks import TasksManager
from packaging.version import Version
from transformers import CONFIG_MAPPING

from llm_chatbot.catalogue.architectures import by_model_type
from llm_chatbot.errors import UserError
from llm_chatbot.texts import Text

TASK, IMAGE_TASK = "text-generation-with-past", "image-text-to-text"

# Optimum Intel 2.2 allows them up to Transformers 5.0. With 5.5 the graphs compute what the torch models do: see the
# tests.
PROVEN_VERSION = "5.5.99"

register = TasksManager.create_register("openvino", overwrite_existing=True)


for model_type, exporter in by_model_type("exporter").items():
    register(model_type, "text-generation", TASK, library_name="transformers")(
        type(exporter.__name__, (exporter,), {"MAX_TRANSFORMERS_VERSION": PROVEN_VERSION})
    )


for model_type, exporter in by_model_type("image_exporter").items():
    register(model_type, IMAGE_TASK, library_name="transformers")(
        type(exporter.__name__, (exporter,), {"MAX_TRANSFORMERS_VERSION": PROVEN_VERSION})
    )
    if model_type not in MULTI_MODAL_TEXT_GENERATION_MODELS:  # of others, Optimum Intel writes the vision tower alone
        MULTI_MODAL_TEXT_GENERATION_MODELS.append(model_type)


def check_exportable(model_type: str) -> None:
    """Checks that Optimum Intel can export models of this type, before any weights are read.

    Raises:
        UserError: it cannot.
    """
    try:
        newest = _newest_transformers(model_type)
    except (KeyError, ValueError) as error:
        advice = nearest_types(model_type)
        raise UserError("checkpoint.no_export", type=repr(model_type), advice=advice) from error
    if newest and Version(transformers.__version__) > newest:
        version, advice = transformers.__version__, nearest_types(model_type)
        raise UserError("checkpoint.no_export_version", type=repr(model_type), version=version, advice=advice)


def nearest_types(model_type: str) -> Text:
    """The end of a refusal: the types of models with the most similar names that can be exported."""
    exportable = TasksManager.get_supported_model_type_for_task(TASK, "openvino")
    known = [name for name in exportable if name in CONFIG_MAPPING and name != model_type and _is_exportable(name)]
    nearest = get_close_matches(model_type, known, n=2, cutoff=0.65)
    if not nearest:
        return Text("checkpoint.other_type")
    if len(nearest) == 1:
        return Text("checkpoint.nearest_type", first=nearest[0])
    return Text("checkpoint.nearest_types", first=nearest[0], second=nearest[1])


def _is_exportable(model_type: str) -> bool:
    newest = _newest_transformers(model_type)
    return newest is None or Version(transformers.__version__) <= newest


def _newest_transformers(model_type: str) -> Version | None:
    """The newest version of Transformers that Optimum Intel exports this type with; None if it names none.

    Raises:
        KeyError, ValueError: it does not export this type.
    """
    constructor = TasksManager.get_exporter_config_constructor(
        "openvino", model_type=model_type, task=TASK, library_name="transformers"
    )
    newest = getattr(constructor.func, "MAX_TRANSFORMERS_VERSION", None)
    return Version(str(newest)) if newest else None
