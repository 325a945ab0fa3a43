"""The soak of `benchmarks/page_soak.py` with few tabs, for a few seconds."""

import pytest
from playwright.sync_api import Browser

from benchmarks.page_soak import Soak, answers_of, was_given
from llm_chatbot.answering import options as settings
from llm_chatbot.answering.pending import PendingAnswer
from llm_chatbot.answering.question import Question
from tests.page_visit import Server, eventually


def test_tabs_at_random_over_a_restart_lose_no_message_and_mix_up_no_answer(
    browser: Browser, own_server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(settings, "MAX_NEW_TOKENS", 16)
    soak = Soak(browser, own_server, tabs=4, seed=1)

    def act_until(messages: int) -> bool:
        soak.step()
        return len(soak.seen) > messages

    assert eventually(lambda: act_until(6)), soak.actions
    soak.restart()
    assert eventually(lambda: act_until(12)), soak.actions
    assert soak.wait_for_answers(60) == 0
    messages = soak.stored()
    assert soak.lost(messages) == soak.mixed_up(messages) == []
    assert len(answers_of(messages)) > 3, soak.actions
    soak.close()


def test_an_answer_that_was_stopped_before_the_server_continued_it_says_what_it_continues():
    asked = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    pending = PendingAnswer(Question(asked, id="id"))
    answer = {"content": "Hello", "begun": "Hello", "finish_reason": "cancelled"}
    assert was_given(answer, ["Hi"], pending)
    assert not was_given({**answer, "content": "Bonjour"}, ["Hi"], pending)
