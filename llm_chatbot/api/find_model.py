"""The model that a request names."""

from collections.abc import Mapping
from typing import Any, TypeVar

from llm_chatbot.api.errors import APIError

Kind = TypeVar("Kind")


def find(models: Mapping[str, Kind], name: str | None) -> Kind:
    """The model that a request names. Where there is only one, it answers to any name, and its answers have its own.

    Args:
        models: at least one; those that chat, or encoders.

    Raises:
        APIError: there is no such model.
    """
    if name is None or name not in models:
        if len(models) == 1:
            return next(iter(models.values()))
        raise no_model(models, name)
    return models[name]


def no_model(models: Mapping[str, Any], name: str | None) -> APIError:
    known = ", ".join(models)
    if name is None:
        return APIError("api.which_model", 404, "model", "model_not_found", models=known)
    return APIError("api.no_model", 404, "model", "model_not_found", name=repr(name), models=known)
