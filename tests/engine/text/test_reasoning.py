import copy

import pytest

from llm_chatbot.engine.text.detokenizer import StreamingDetokenizer
from llm_chatbot.engine.text.prompt import answer_ids, prompt_ids
from llm_chatbot.engine.text.reasoning import (
    ReasoningMarks,
    begun_answer,
    marks_in_template,
    reasoning_closing,
    reasoning_marks,
    reasoning_opening,
)

# The marks of models of 2025 and 2026, as their chat templates or tokenizers have them.
MARKS = {
    "magistral": ("[THINK]", "[/THINK]"),
    "seed-oss": ("<seed:think>", "</seed:think>"),
    "command-a": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "exaone-deep": ("<thought>", "</thought>"),
    "kimi-vl": ("◁think▷", "◁/think▷"),
    "longcat": ("<longcat_think>", "</longcat_think>"),
    "minimax-m3": ("<mm:think>", "</mm:think>"),
    "k2-horizon": ("<ifm|think>", "</ifm|think>"),
    "solar-open2": ("<|think:start|>", "<|think:end|>"),
    "openthinker": ("<|begin_of_thought|>", "<|end_of_thought|>"),
    "reka-flash": ("<reasoning>", "</reasoning>"),
    "apertus": ("<|inner_prefix|>", "<|inner_suffix|>"),
    "gemma-4": ("<|channel>thought\n", "<channel|>"),
    "granite-3.2": ("Here is my thought process:", "Here is my response:"),
    "qwen3": ("<think>", "</think>"),
}
TOKENS = {"gemma-4": ["<|channel>", "<channel|>"], "granite-3.2": []}


def with_marks(tokenizer, name: str, special: bool = True, in_template: bool = True):
    """The tokenizer with the marks of a model as tokens, and in its template."""
    marked, marks = copy.deepcopy(tokenizer), MARKS[name]
    marked.add_tokens(TOKENS.get(name, list(marks)), special_tokens=special)
    if in_template:
        marked.chat_template += "{# " + " ".join(marks).replace("\n", "\\n") + " #}"
    return marked


def states(tokenizer, ids: list[int], **options) -> list[str]:
    """The text after each token, and at the end."""
    stream, shown = StreamingDetokenizer(tokenizer, **options), []
    for token in ids:
        stream.add_token(token)
        shown.append(stream.text)
    stream.finalize()
    return [*shown, stream.text]


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("name", MARKS)
def test_reasoning_is_read_whatever_its_marks_and_the_type_of_their_tokens(name: str, special: bool, tokenizer):
    marked, (start, end) = with_marks(tokenizer, name, special), MARKS[name]
    assert reasoning_marks(marked) == ReasoningMarks(start, end) == marks_in_template(marked.chat_template)
    shown = states(marked, marked(f"{start}Hm, 2 < 3.{end}\nYes.")["input_ids"])
    assert shown[-1] == "<think>Hm, 2 < 3.</think>\nYes."
    assert all(shown[-1].startswith(text) for text in shown)


@pytest.mark.parametrize("name", sorted(MARKS.keys() - {"granite-3.2", "gemma-4"}))
def test_marks_are_found_among_the_tokens_where_the_template_has_none(name: str, tokenizer):
    marked = with_marks(tokenizer, name, in_template=False)
    assert reasoning_marks(marked) == ReasoningMarks(*MARKS[name])


def test_a_text_about_marks_is_text(tokenizer):
    marked = with_marks(tokenizer, "magistral")
    for said in ("It writes [THINK] and [/THINK].", "a[/THINK]"):
        letters = [id for letter in said for id in marked(letter, add_special_tokens=False)["input_ids"]]
        assert states(marked, letters)[-1] == said


def test_the_element_around_an_answer_is_not_shown(tokenizer):
    marked = copy.deepcopy(tokenizer)
    marked.chat_template += "{# <think> </think> <answer> </answer> #}"
    shown = states(marked, marked("<think>\nHm\n</think>\n<answer>\nSay </answer>.\n</answer>")["input_ids"])
    assert shown[-1] == "<think>\nHm\n</think>\nSay </answer>.\n"
    assert all(shown[-1].startswith(text) for text in shown)
    plain = "No <answer> here</answer>"
    assert states(marked, marked(plain)["input_ids"])[-1] == plain


@pytest.mark.parametrize("name", MARKS)
def test_an_answer_is_continued_with_the_marks_that_the_model_writes(name: str, tokenizer):
    marked, (start, end) = with_marks(tokenizer, name), MARKS[name]
    assert marked.decode(answer_ids(marked, "<think>Hm</think>\nYes")) == f"{start}Hm{end}\nYes"


@pytest.mark.parametrize("name", sorted(MARKS.keys() - {"granite-3.2"}))
def test_reasoning_is_opened_begun_and_closed_with_the_models_own_marks(name: str, tokenizer):
    marked, (start, end) = with_marks(tokenizer, name), MARKS[name]
    asked = prompt_ids(marked, [{"role": "user", "content": "Why?"}])
    assert begun_answer(marked, asked) == ""
    assert marked.decode(reasoning_opening(marked, asked)) == start
    begun = [*asked, *answer_ids(marked, "<think>")]
    assert begun_answer(marked, begun) == "<think>" and reasoning_opening(marked, begun) == []
    assert reasoning_opening(marked, [*begun, *answer_ids(marked, "</think>")]) == []
    assert reasoning_closing(marked) == (end if name != "qwen3" else "\n</think>\n\n")
    rest = answer_ids(marked, "Hm</think>Yes")
    assert states(marked, rest, start="<think>")[-1] == "<think>Hm</think>Yes"


def test_a_callers_stop_string_may_have_the_marks_in_it(tokenizer):
    marked = with_marks(tokenizer, "magistral")
    ids = marked("[THINK]Hm[/THINK]Yes")["input_ids"]
    stream = StreamingDetokenizer(marked, stop=["Hm[/THINK]"])
    for token in ids:
        stream.add_token(token)
    assert stream.stopped and stream.text == "<think>"
