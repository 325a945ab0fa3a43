from llm_chatbot.lesson import sliders
from llm_chatbot.lesson.drafts import ACCEPTED, READ, REJECTED, Call, draft_lines, drafts_box, replay_drafts
from tests.lesson.test_sliders import Shown


def test_what_repeats_is_guessed_and_what_does_not_is_thrown_away():
    prompt, answer = [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 9]
    calls = replay_drafts(prompt, answer, 0.02)
    assert calls[:2] == [Call(1, [], []), Call(2, [], [])]
    assert calls[2].token == 3 and calls[2].accepted == [4, 5] and calls[2].rejected[0] == 6
    assert calls[3] == Call(9, [], [])


def test_calls_give_the_answer_whatever_a_guess_costs():
    answer = [1, 2, 3, 1, 2, 3, 1, 2, 3, 4, 1, 2, 3, 1, 2, 3]
    lengths = []
    for cost in (0.02, 0.2, 3.0):
        calls = replay_drafts([7, 8], answer, cost)
        assert [token for call in calls for token in (call.token, *call.accepted)] == answer
        lengths.append(len(calls))
    assert lengths == sorted(lengths) and lengths[0] < lengths[-1] == len(answer)


def test_guesses_are_coloured_and_counted(tokenizer):
    (count,), kinds, pieces = draft_lines([Call(504, [2644], [314, 260])], tokenizer)
    assert count.text == "2 tokens in 1 calls: 1 guessed rightly, 2 thrown away"
    assert [piece.color for piece in pieces] == [READ, ACCEPTED, REJECTED, REJECTED]
    assert [piece.color for piece in kinds] == [READ, ACCEPTED, REJECTED]
    assert pieces[2].text.startswith("(") and pieces[1].text.startswith("·")


def test_a_question_is_answered_once_whatever_a_guess_costs(exact_model, tokenizer, monkeypatch):
    monkeypatch.setattr(sliders, "display", shown := Shown())
    _, cost = drafts_box(exact_model, tokenizer, "Name the capital of France.").children
    assert "Paris" in shown.figures[-1].data
    monkeypatch.setattr(exact_model, "new_cache", None)  # another answer would fail
    cost.value = 0.5
    assert "Paris" in shown.figures[-1].data
