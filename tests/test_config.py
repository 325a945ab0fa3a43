import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from config import (
    DEFAULT_MODEL,
    EXAMPLE_QUESTIONS,
    SUPPORTED_LLM_MODELS,
    ModelConfig,
    UserError,
    get_model_config,
)


def test_the_default_model_is_in_the_catalogue():
    assert get_model_config(DEFAULT_MODEL) is SUPPORTED_LLM_MODELS[DEFAULT_MODEL]


def test_an_unknown_name_is_refused_with_the_names_that_there_are():
    with pytest.raises(ValueError, match="smollm2-135m-instruct"):
        get_model_config("smollm")


@pytest.mark.parametrize("config", SUPPORTED_LLM_MODELS.values(), ids=SUPPORTED_LLM_MODELS)
def test_every_row_is_complete(config: ModelConfig):
    assert "/" in config.model_id
    assert config.description.endswith(".")
    assert config.parameters > 0
    assert config.int4.mode in ("INT4_SYM", "INT4_ASYM")
    assert 0 < config.int4.ratio <= 1
    assert len(EXAMPLE_QUESTIONS[config.language]) == 7


def test_rows_cannot_be_changed_by_accident():
    with pytest.raises(FrozenInstanceError):
        SUPPORTED_LLM_MODELS[DEFAULT_MODEL].license = "none"  # type: ignore[misc]


def test_user_errors_are_value_errors():
    assert issubclass(UserError, ValueError)


def test_importing_the_catalogue_imports_nothing_heavy_and_switches_reporting_off():
    script = """
import os, sys
import config
heavy = {"torch", "transformers", "openvino", "nncf", "gradio", "numpy"} & set(sys.modules)
assert not heavy, heavy
assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False" and os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
import nncf.telemetry.wrapper as wrapper
assert not isinstance(wrapper.telemetry, wrapper.NNCFTelemetry), wrapper.telemetry
import openvino.tools.ovc.telemetry_utils as ovc
assert ovc.tm.__name__.endswith("telemetry_stub"), ovc.tm
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
