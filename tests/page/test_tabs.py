import threading
import time

from config import DEFAULT_MODEL, get_model_config
from page.models import LoadedModel
from page.tabs import Tab

import pytest

QUESTION = {"role": "user", "content": "What is the capital of France?"}


@pytest.fixture
def tab(model, tokenizer) -> Tab:
    return Tab(LoadedModel(model, tokenizer, get_model_config(DEFAULT_MODEL), "a model"))


def ask(tab: Tab) -> bool:
    return tab.ask(lambda messages: [*messages, QUESTION])


def answer(tab: Tab, **generation) -> str:
    assert tab.begin()
    for _ in tab.reply(None, **generation):
        pass
    tab.end()
    return tab.messages[-1]["content"]


def test_a_question_is_answered_once_and_the_answer_is_kept_with_its_figures(tab: Tab):
    assert ask(tab) and tab.busy and tab.waiting
    assert "Paris" in answer(tab)
    assert not tab.busy and not tab.begin()
    assert tab.messages[-1]["figures"]["finish_reason"] == "stop"


def test_while_an_answer_runs_no_question_is_accepted(tab: Tab):
    ask(tab)
    assert not ask(tab)
    assert tab.messages == [QUESTION]


def test_a_question_after_stop_waits_for_the_answer_to_end(tab: Tab):
    ask(tab)
    tab.begin()
    replies = tab.reply(None)
    next(reply for reply in replies if reply.completion_tokens)
    tab.stop()
    asking = threading.Thread(target=ask, args=(tab,))
    asking.start()
    last = list(replies)[-1]
    assert last.finish_reason == "cancelled" and asking.is_alive()
    tab.end()
    asking.join(timeout=60)
    assert [message["role"] for message in tab.messages] == ["user", "assistant", "user"]
    assert tab.waiting


def test_a_question_that_is_given_up_leaves_the_conversation_as_it_was(tab: Tab):
    ask(tab)
    answer(tab)
    before = tab.messages
    ask(tab)
    assert tab.withdraw() == QUESTION["content"]
    assert tab.messages == before and not tab.busy
    assert tab.withdraw() is None


def test_interrupting_ends_what_waits_and_what_runs(tab: Tab):
    ask(tab)
    tab.interrupt()
    assert not tab.busy and tab.messages == []
    ask(tab)
    running = threading.Thread(target=answer, args=(tab,), kwargs={"max_new_tokens": 4000, "repetition_penalty": 1.3})
    running.start()
    while running.is_alive() and (not tab.messages or tab.messages[-1]["role"] == "user"):
        time.sleep(0.01)
    tab.interrupt()
    running.join(timeout=60)
    assert not tab.busy


def test_a_conversation_from_elsewhere_goes_on_and_an_answer_is_continued(tab: Tab):
    tab.open("x", [QUESTION, {"role": "assistant", "content": "The capital of France is"}])
    assert tab.ask(list)
    assert answer(tab, max_new_tokens=8).startswith("The capital of France is Paris")
    assert len(tab.messages) == 2


def test_the_model_does_not_read_its_earlier_reasoning(tab: Tab):
    tab.open("x", [QUESTION, {"role": "assistant", "content": "<think>Hm, " + "long " * 200 + "</think>Paris."}])
    ask(tab)
    answer(tab)
    assert tab.messages[-1]["figures"]["prompt_tokens"] < 100
    assert tab.messages[1]["content"].startswith("<think>")
