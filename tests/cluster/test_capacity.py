from dataclasses import replace

import pytest

from llm_chatbot.cluster.capacity import (
    DAY,
    MACHINES,
    MEASURED_ENGINE,
    EngineCosts,
    Machine,
    Traffic,
    core_seconds,
    kv_bytes,
    need,
    table,
)

TRAFFIC = Traffic(turns=2, prompt_tokens=1000, answer_tokens=500, peak=2.0, seconds_open=100.0, use=0.5)
ENGINE = EngineCosts("test", 3.0, 1.0, 2.0, 1000, 2.0, "made up")


def test_a_conversation_costs_its_answers_its_prompts_and_what_is_around_them():
    assert core_seconds(ENGINE, TRAFFIC) == pytest.approx(1 * (3 + 2) + 2 * 1)


def test_the_busiest_hour_is_what_counts():
    needed = need(DAY, ENGINE, TRAFFIC)  # one a second on average, two in the busiest hour
    assert needed.cores == pytest.approx(2 * 7 / 0.5)
    assert needed.replicas == 4
    assert needed.kv_gigabytes == pytest.approx(2 * 100 * 3000 * 1000 / 1e9)


def test_what_runs_out_first_is_named():
    needed = need(DAY, ENGINE, TRAFFIC)
    assert needed.machines(Machine("", 28, 1000.0), ENGINE) == (1, "cores")
    assert needed.machines(Machine("", 28, 5.0), ENGINE) == (3, "memory")


def test_a_larger_model_costs_more_by_its_weights_but_not_around_them():
    larger = ENGINE.scaled("larger", 10, 5000, 4.0)
    assert (larger.decode, larger.prefill, larger.overhead) == (30.0, 10.0, 2.0)
    assert replace(larger, origin="").bytes_per_token == 5000


def test_keys_and_values_take_what_the_runtime_takes():
    assert kv_bytes(30, 3, 64) == 13_680  # `block_bytes` of the embedded model at u8, for each of 32 tokens


def test_the_table_has_a_row_for_each_model_and_load():
    lines = table(Traffic()).splitlines()
    assert len(lines) == 2 + 6 and MEASURED_ENGINE.name in lines[2] and MACHINES[0].name in lines[0]
