from dataclasses import replace

from llm_chatbot.api.openai_writer import ChatWriter, CompletionWriter, usage
from llm_chatbot.api.responses import Choice
from llm_chatbot.api.tools import ToolParser
from llm_chatbot.engine.decode.logprobs import TokenChoice, TopToken
from llm_chatbot.engine.session import Answer
from tests.api.test_responses import answer


def chunks(writer, *answers: Answer) -> list[dict]:
    """The choices of a stream's chunks."""
    made = [chunk for state in answers for chunk in writer.chunks(0, writer.choices[0].update(state))]
    return [chunk["choices"][0] for chunk in made]


def test_a_stream_has_what_is_new_and_says_once_why_it_ended():
    writer = ChatWriter("m", [Choice()], 1, False)
    states = [answer(""), answer("Hello"), answer("Hello"), answer("Hello you"), answer("Hello you", True)]
    first, second, last = chunks(writer, *states)
    assert (first["delta"], second["delta"], last["delta"]) == ({"content": "Hello"}, {"content": " you"}, {})
    assert (first["finish_reason"], second["finish_reason"], last["finish_reason"]) == (None, None, "stop")


def test_calls_come_whole_and_are_counted():
    call = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    writer = ChatWriter("m", [Choice(ToolParser("hermes", {"f"}))], 1, False)
    *_, last = made = chunks(writer, answer("Look:"), answer(f"Look: {call}"), answer(f"Look: {call}\n{call}", True))
    calls = [call for chunk in made for call in chunk["delta"].get("tool_calls", [])]
    assert [(call["index"], call["function"]) for call in calls] == [
        (0, {"name": "f", "arguments": '{"a": 1}'}),
        (1, {"name": "f", "arguments": '{"a": 1}'}),
    ]
    assert last["finish_reason"] == "tool_calls"
    message = writer.whole()["choices"][0]["message"]
    assert message["content"] == "Look:" and [call["id"] for call in message["tool_calls"]] == [c["id"] for c in calls]


def test_a_prompt_counts_once_however_many_answers_it_gets():
    choices = [Choice() for _ in range(4)]  # two answers to each of two prompts
    for choice, prompt in zip(choices, (10, 10, 20, 20), strict=True):
        choice.update(answer("two words", True, prompt=prompt))
    assert usage(choices, 2) == {
        "prompt_tokens": 30,
        "completion_tokens": 8,
        "total_tokens": 38,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


TOP = (TopToken(5, "Hi", -0.5, b"Hi"), TopToken(6, "Ho", -1.0, b"Ho"))
TOKENS = (TokenChoice(5, "Hi", -0.5, b"Hi", TOP), TokenChoice(7, " \ufffd", -2.0, b" \xf0\x9f", (), 2))


def test_probabilities_are_sent_once_in_the_form_of_each_endpoint():
    chat = ChatWriter("m", [Choice()], 1, True)
    first, last, _ = chunks(chat, answer("Hi", tokens=TOKENS[:1]), answer("Hi", True, tokens=TOKENS))
    (hi,), (piece,) = first["logprobs"]["content"], last["logprobs"]["content"]
    assert hi == {
        "token": "Hi",
        "logprob": -0.5,
        "bytes": [72, 105],
        "top_logprobs": [
            {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]},
            {"token": "Ho", "logprob": -1.0, "bytes": [72, 111]},
        ],
    }
    assert (piece["token"], piece["bytes"]) == (" \ufffd", [32, 240, 159])

    text = CompletionWriter("m", [Choice(raw=True)], 1, True)
    first, last, _ = chunks(text, answer("Hi", tokens=TOKENS[:1]), answer("Hi", True, tokens=TOKENS))
    assert first["logprobs"]["top_logprobs"] == [{"Hi": -0.5, "Ho": -1.0}]
    assert (first["logprobs"]["text_offset"], last["logprobs"]["text_offset"]) == ([0], [2])
    assert last["logprobs"]["tokens"] == [r"bytes:\x20\xf0\x9f"]


def test_the_chosen_token_is_always_in_the_list_with_its_own_value_and_pieces_are_told_apart():
    """Several tokens may have the same text, and the chosen one may be none of the likeliest."""
    pieces = (
        TopToken(5, "\ufffd", -1.8, b"\xe3"),
        TopToken(6, "\ufffd", -2.9, b"\xe2"),
        TopToken(7, "a", -3.0, b"a"),
        TopToken(8, "a", -3.5, b"a"),
    )
    text = CompletionWriter("m", [Choice(raw=True)], 1, True)
    z = TokenChoice(9, "z", -9.0, b"z", ())
    tokens = [TokenChoice(*pieces[0], pieces), TokenChoice(*pieces[3], pieces), replace(z, top=pieces), z]
    first, _ = chunks(text, answer("x", True, tokens=tokens))
    likely = {"a": -3.0, r"bytes:\xe3": -1.8, r"bytes:\xe2": -2.9}
    assert first["logprobs"]["top_logprobs"] == [likely, {**likely, "a": -3.5}, {**likely, "z": -9.0}, {"z": -9.0}]


def test_a_raw_text_keeps_its_marks():
    writer = CompletionWriter("m", [Choice(raw=True)], 1, False)
    assert chunks(writer, answer("<think> x", True))[0]["text"] == "<think> x"
