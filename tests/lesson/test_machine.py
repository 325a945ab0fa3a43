from dataclasses import replace

import pytest

from llm_chatbot.catalogue.row import Int4Settings, ModelConfig
from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.lesson.machine import bytes_per_token, measure_bandwidth


def row(**int4) -> ModelConfig:
    return ModelConfig("org/name", "", "", parameters=1000, int4=Int4Settings(**int4))


def test_bandwidth_is_what_a_machine_can_have():
    assert 0.2 < measure_bandwidth(megabytes=64, rounds=2) < 5000


def test_bytes_per_token_follow_from_the_settings():
    assert (bytes_per_token(row(), "FP16"), bytes_per_token(row(), "INT8")) == (2000, 1000)
    symmetric = row(mode="INT4_SYM", group_size=64, ratio=1.0)
    assert bytes_per_token(symmetric, "INT4") == 1000 * (4 + 16 / 64) / 8
    asymmetric = row(mode="INT4_ASYM", group_size=32, ratio=0.5)
    assert bytes_per_token(asymmetric, "INT4") == 1000 * (0.5 * (4 + 20 / 32) + 0.5 * 8) / 8
    assert bytes_per_token(row(mode="INT4_SYM", group_size=-1, ratio=1.0), "INT4") == 500


def test_a_mixture_of_experts_reads_only_those_that_are_active():
    assert bytes_per_token(replace(row(), active_parameters=100), "FP16") == 200


@pytest.mark.parametrize("name", SUPPORTED_LLM_MODELS)
def test_every_row_has_an_estimate(name: str):
    config = SUPPORTED_LLM_MODELS[name]
    assert 0.2 < bytes_per_token(config, "INT4") / bytes_per_token(config, "FP16") < 0.5
