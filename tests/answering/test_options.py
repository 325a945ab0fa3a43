import subprocess
import sys

import pytest

from llm_chatbot.answering.options import make_generation, number_settings, page_generation, page_template_options
from llm_chatbot.errors import UserError


def test_what_is_missing_or_empty_has_its_default():
    defaults = {setting.name: setting.default for setting in number_settings()}
    for values in ({}, dict.fromkeys(defaults), dict.fromkeys(defaults, "")):
        options = page_generation(values)
        assert options.max_new_tokens == defaults["max_new_tokens"] and options.seed is None
        assert options.temperature == defaults["temperature"] and page_template_options(values) == {}
        assert options.thinking_budget is None and options.top_logprobs is None


def test_an_answer_is_as_long_as_the_context_allows_unless_it_is_limited():
    # In a process of its own: the tests of the page bound the answers of this one.
    code = "from llm_chatbot.answering.options import page_generation; print(page_generation({}).max_new_tokens)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "None\n"
    assert page_generation({"max_new_tokens": 8}).max_new_tokens == 8


def test_the_browser_sends_numbers_as_floats():
    options = page_generation({"top_k": 40.0, "max_new_tokens": 128.0, "seed": 7.0, "thinking_budget": 100.0})
    whole = [options.top_k, options.max_new_tokens, options.seed, options.thinking_budget]
    assert whole == [40, 128, 7, 100] and all(isinstance(number, int) for number in whole)


def test_switches_reach_the_template_only_where_they_were_set():
    values = {"thinking": False, "effort": "low", "probabilities": True}
    assert page_template_options(values) == {"enable_thinking": False, "reasoning_effort": "low"}
    assert page_generation(values).top_logprobs == 5


@pytest.mark.parametrize("wrong", [{"temperature": "hot"}, {"top_p": 2}, {"seed": float("nan")}, {"top_k": True}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(UserError):
        page_generation(wrong)


def test_an_effort_that_there_is_not_is_refused():
    with pytest.raises(UserError, match="low, medium, high"):
        page_template_options({"effort": "most"})


def test_a_seed_is_one_that_numpy_takes_and_a_negative_one_is_a_new_one_each_time():
    assert make_generation(seed=2**64 + 5).seed == 5
    assert make_generation(seed=-1).seed is None and make_generation(seed=None).seed is None
