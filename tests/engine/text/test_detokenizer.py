import copy
from itertools import pairwise

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from llm_chatbot.catalogue.chat_formats import ChatFormat
from llm_chatbot.engine.decode.logprobs import token_bytes
from llm_chatbot.engine.text.detokenizer import StreamingDetokenizer, replaced_each
from tests import small_checkpoints


@pytest.fixture(scope="module")
def llama_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    """One that falls back to single bytes."""
    folder = tmp_path_factory.mktemp("llama")
    small_checkpoints.llama_tokenizer(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def pushed(tokenizer, text: str, **chat_format) -> tuple[list[str], StreamingDetokenizer]:
    """The text that was shown after each token, and the stream."""
    stream, shown = StreamingDetokenizer(tokenizer, ChatFormat(**chat_format)), []
    for token in tokenizer(text)["input_ids"]:
        stream.add_token(token)
        shown.append(stream.text)
    return shown, stream


@pytest.mark.parametrize(
    "text", ["Hello, world!", " leading", "日本語と中文", "👩‍👩‍👧‍👦🎉", "a\n\n  b\t", "naïve café"]
)
def test_the_pieces_make_the_text_and_no_character_is_ever_cut(tokenizer, text: str):
    shown, stream = pushed(tokenizer, text)
    assert all(text.startswith(part) for part in shown)
    stream.finalize()
    assert stream.text == text


def test_characters_in_single_bytes_show_as_soon_as_they_are_whole(llama_tokenizer):
    ids = llama_tokenizer("안녕 🎉", add_special_tokens=False)["input_ids"]
    stream, shown = StreamingDetokenizer(llama_tokenizer), []
    for token in ids:
        stream.add_token(token)
        shown.append(stream.text)
    assert len(ids) > 9 and list(dict.fromkeys(filter(None, shown))) == ["안", "안녕", "안녕 ", "안녕 🎉"]


@pytest.mark.parametrize("seed", range(20))
def test_tokens_in_any_order_only_ever_add_to_the_text(tokenizer, llama_tokenizer, seed: int):
    for any_tokenizer in (tokenizer, llama_tokenizer):
        ids = np.random.default_rng(seed).integers(0, len(any_tokenizer), 60).tolist()
        stream, shown = StreamingDetokenizer(any_tokenizer), []
        for token in ids:
            stream.add_token(token)
            shown.append(stream.text)
        stream.finalize()
        assert all(later.startswith(earlier) for earlier, later in pairwise([*shown, stream.text]))
        assert len(shown[-1]) > len(stream.text) / 2
        if any_tokenizer is tokenizer:  # the other decodes differently where bytes make no characters
            assert stream.text == tokenizer.decode(ids, skip_special_tokens=True)


def test_of_texts_that_begin_alike_the_longest_is_replaced():
    assert replaced_each("<a><a>b<a", {"<a>": "1", "<a>b": "2", "<": "3"}) == "123a"


def test_what_may_begin_a_stop_string_is_shown_where_a_token_ends_the_text(tokenizer):
    stream = StreamingDetokenizer(tokenizer, stop=("<|im_end|>", " and more"))
    for token in tokenizer("Hello and<|im_end|>", add_special_tokens=False)["input_ids"]:
        stream.add_token(token)
    assert (stream.text, stream.stopped_by) == ("Hello and", "<|im_end|>")


@pytest.mark.parametrize("stop", [("ld", "wor"), ("wor", "ld")])
def test_the_first_of_several_stop_strings_in_a_token_ends_the_text(tokenizer, stop: tuple[str, str]):
    (token,) = tokenizer(" world", add_special_tokens=False)["input_ids"]
    stream = StreamingDetokenizer(tokenizer, stop=stop)
    stream.add_token(token)
    assert (stream.text, stream.stopped_by) == (" ", "wor")


def test_special_tokens_are_not_shown(tokenizer):
    _, stream = pushed(tokenizer, "<|im_start|>Hello<|im_end|>")
    assert stream.text == "Hello"


@pytest.mark.parametrize("stop", ["<human>:", "###", "\n\nUser:", "d"])
def test_a_stop_string_never_shows_not_even_its_beginning(tokenizer, stop: str):
    text = "Hello worl"
    shown, stream = pushed(tokenizer, f"{text}{stop} and more", stop_strings=(stop, "never"))
    assert stream.stopped and stream.text == text
    assert all(text.startswith(part) for part in shown)


def test_what_only_began_like_a_stop_string_is_shown_in_the_end(tokenizer):
    shown, stream = pushed(tokenizer, "a < b and <hu", stop_strings=("<human>:",))
    assert shown[-1] == "a < b and "
    stream.finalize()
    assert stream.text == "a < b and <hu" and not stream.stopped


def test_what_is_replaced_never_shows_not_even_its_beginning(tokenizer):
    shown, stream = pushed(tokenizer, "since [[训练时间]], or [x]", replacements=(("[[训练时间]]", "2023年"),))
    stream.finalize()
    assert stream.text == "since 2023年, or [x]"
    assert all(stream.text.startswith(part) for part in shown)


def test_marks_at_the_beginning_are_not_shown_and_others_are(tokenizer):
    shown, stream = pushed(tokenizer, "\n <bot>: Hello \n", strip_start="\n ", replacements=(("<bot>:", ""),))
    assert stream.text == "Hello \n" and not any(part.startswith((" ", "\n", "<")) for part in shown)


def test_what_begins_a_line_may_begin_the_answer(tokenizer):
    shown, stream = pushed(tokenizer, "User: a", stop_strings=("\nUser:",))
    assert stream.stopped and set(shown) == {""}
    shown, stream = pushed(tokenizer, "Bot: a Bot: b\nBot: c", replacements=(("\nBot: ", "\n"),))
    assert stream.text == "a Bot: b\nc" and all(stream.text.startswith(part) for part in shown)


def test_a_text_that_the_prompt_began_is_shown_first(tokenizer):
    stream = StreamingDetokenizer(tokenizer, start="<think>\n")
    assert stream.text == "<think>\n"
    for token in tokenizer("Hm.</think>")["input_ids"]:
        stream.add_token(token)
    stream.finalize()
    assert stream.text == "<think>\nHm.</think>"


def test_a_character_that_never_became_whole_is_shown_as_the_tokenizer_decodes_it(tokenizer):
    ids = tokenizer("Hi 🎉")["input_ids"][:-1]
    stream = StreamingDetokenizer(tokenizer)
    for token in ids:
        stream.add_token(token)
    assert stream.text == "Hi"
    stream.finalize()
    assert stream.text == tokenizer.decode(ids) and "\ufffd" in stream.text


@pytest.mark.parametrize(("stop", "text"), [("\n", ""), ("\n\n", "\nA"), ("B", "\nA\n\n"), ("A\n\nB\nC", "\n")])
def test_a_callers_stop_string_matches_only_what_was_generated(tokenizer, stop: str, text: str):
    stream, shown = StreamingDetokenizer(tokenizer, stop=(stop, "never")), []
    for token in tokenizer("\nA\n\nB\nC")["input_ids"]:
        stream.add_token(token)
        shown.append(stream.text)
    assert stream.stopped and stream.text == text
    assert all(text.startswith(part) for part in shown)


def test_a_callers_stop_string_does_not_match_what_is_being_continued(tokenizer):
    given, more = (tokenizer(part)["input_ids"] for part in ("One. Two", ". Three"))
    stream = StreamingDetokenizer(tokenizer, given=given, stop=(".", "Two."))
    assert (stream.text, stream.stopped, stream.ids) == ("One. Two", False, given)
    stream.add_token(more[0])
    assert (stream.text, stream.stopped) == ("One. Two", True)


@pytest.mark.parametrize("text", [" leading", "going on", " 🎉", "\n", "  x"])
def test_what_follows_a_text_keeps_the_space_that_a_text_of_its_own_would_lose(text: str, llama_tokenizer):
    before = llama_tokenizer("Hello")["input_ids"]
    ids = llama_tokenizer("Hello" + text)["input_ids"][len(before) :]
    stream, shown = StreamingDetokenizer(llama_tokenizer, None, after=before[-4:]), ""
    for token in ids:
        stream.add_token(token)
        assert stream.text.startswith(shown) and text.startswith(stream.text)
        shown = stream.text
    stream.finalize()
    assert stream.text == text and stream.num_characters == len(text) and stream.ids == ids


@pytest.mark.parametrize("special", [True, False])
def test_marks_of_reasoning_and_calls_are_shown_whatever_the_type_of_their_tokens(special: bool, tokenizer):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens(["<think>", "</think>", "<tool_call>", "</tool_call>"], special_tokens=special)
    text = '<think>Hm</think>\n<tool_call>{"name": "f"}</tool_call>'
    stream = StreamingDetokenizer(tokenizer)
    for token in tokenizer(text)["input_ids"]:
        stream.add_token(token)
    stream.finalize()
    assert stream.text == text


@pytest.mark.parametrize("special", [True, False])
def test_a_stop_string_that_is_a_token_ends_the_answer_before_it(special: bool, tokenizer):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens(["<|my_end|>"], special_tokens=special)
    stream = StreamingDetokenizer(tokenizer, stop=["<|my_end|>"])
    for token in tokenizer("Hello\n<|my_end|>more")["input_ids"]:
        stream.add_token(token)
        if stream.stopped:
            break
    stream.finalize()
    assert (stream.stopped, stream.stopped_by, stream.text) == (True, "<|my_end|>", "Hello\n")


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        ("<|im_end|>\n<|im_start|>user", "Hello\n"),
        ("\n<|im_end|>", "Hello"),
        ("<|im_end|>\n", "Hello\n"),
        ("lo\n<|im_end|>\n<|im_start|>us", "Hel"),
        ("<|im_end|>\n<|im_start|>assistant", "Hello\n\nuser ☀"),  # not what follows
        ("<|im_end|> \n", "Hello\n\nuser ☀"),
        ("\n\n", "Hello\n\nuser ☀"),  # a control token is between
    ],
)
def test_a_stop_string_may_have_control_tokens_in_it(stop: str, text: str, tokenizer):
    ids = tokenizer("Hello\n<|im_end|>\n<|im_start|>user ☀")["input_ids"]
    stream = StreamingDetokenizer(tokenizer, stop=[stop, "<|im_end|>never"])
    for count, token in enumerate(ids):
        assert text.startswith(stream.text) and stream.num_characters <= len(tokenizer.decode(ids[:count]))
        stream.add_token(token)
        if stream.stopped:
            break
    stream.finalize()
    assert (stream.text, stream.stopped_by) == (text, stop if stream.stopped else "")
    assert stream.stopped == (text != "Hello\n\nuser ☀")
    assert stream.stopped or stream.num_characters == len(text)


def test_a_stop_string_with_a_control_token_matches_its_letters_too(tokenizer):
    stream = StreamingDetokenizer(tokenizer, stop=["<|im_end|>\n"])
    for letter in "Hi<|im_end|>\n":
        stream.add_token(tokenizer(letter, add_special_tokens=False)["input_ids"][0])
    assert stream.stopped and stream.text == "Hi"


@pytest.mark.parametrize("stop", ["</s> more", "</s> none", "<s>"])
def test_what_follows_a_control_token_keeps_its_space(stop: str, llama_tokenizer):
    ids = llama_tokenizer("Hello")["input_ids"]
    ids += [
        llama_tokenizer.convert_tokens_to_ids("</s>"),
        *llama_tokenizer(" more", add_special_tokens=False)["input_ids"],
    ]
    stream = StreamingDetokenizer(llama_tokenizer, stop=[stop])
    for token in ids:
        stream.add_token(token)
    stream.finalize()
    assert stream.text in ("Hello", "Hello more", "Hello  more") and stream.stopped == (stop == "</s> more")


@pytest.mark.parametrize("text", ["a “hi” 😀 b", "日本語 🎉🎉", "é👩‍👩‍👧"])
def test_characters_are_counted_before_they_are_whole(text: str, tokenizer, llama_tokenizer):
    for any_tokenizer in (tokenizer, llama_tokenizer):
        ids = any_tokenizer(text, add_special_tokens=False)["input_ids"]
        stream, written = StreamingDetokenizer(any_tokenizer), b""
        for token in ids:
            assert stream.num_characters == len(written.decode("utf-8", "ignore"))
            stream.add_token(token)
            written = (written + token_bytes(any_tokenizer.backend_tokenizer, token)).removeprefix(b" ")
        assert stream.num_characters == len(text)


def test_special_tokens_are_no_characters(tokenizer):
    stream = StreamingDetokenizer(tokenizer)
    counted = []
    for token in tokenizer("a<|im_start|><|im_end|>b")["input_ids"]:
        counted.append(stream.num_characters)
        stream.add_token(token)
    assert counted == [0, 1, 1, 1] and stream.num_characters == len(stream.text) == 2
