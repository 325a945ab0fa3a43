import pytest

from llm_chatbot.errors import UserError
from llm_chatbot.page.settings import generation_options, number_settings


def test_what_is_missing_or_empty_has_its_default():
    defaults = {setting.name: setting.default for setting in number_settings()}
    for values in ({}, dict.fromkeys(defaults), dict.fromkeys(defaults, "")):
        options = generation_options(values)
        assert options["max_new_tokens"] == defaults["max_new_tokens"] and options["seed"] is None
        assert options["temperature"] == defaults["temperature"] and options["template_options"] == {}
        assert "thinking_budget" not in options and "top_logprobs" not in options


def test_the_browser_sends_numbers_as_floats():
    options = generation_options({"top_k": 40.0, "max_new_tokens": 128.0, "seed": 7.0, "thinking_budget": 100.0})
    assert [options[name] for name in ("top_k", "max_new_tokens", "seed", "thinking_budget")] == [40, 128, 7, 100]
    assert all(isinstance(options[name], int) for name in ("top_k", "max_new_tokens", "seed", "thinking_budget"))


def test_switches_reach_the_template_only_where_they_were_set():
    options = generation_options({"thinking": False, "effort": "low", "probabilities": True})
    assert options["template_options"] == {"enable_thinking": False, "reasoning_effort": "low"}
    assert options["top_logprobs"] == 5


@pytest.mark.parametrize(
    "wrong", [{"temperature": "hot"}, {"top_p": 2}, {"seed": float("nan")}, {"top_k": True}, {"effort": "most"}]
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(UserError):
        generation_options(wrong)
