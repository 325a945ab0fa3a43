import pytest

from text_stream import TextStream


def pushed(tokenizer, text: str, stop_strings=()) -> tuple[list[str], TextStream]:
    """What was shown after each token of a text, and the stream."""
    stream, shown = TextStream(tokenizer, stop_strings), []
    for token in tokenizer(text)["input_ids"]:
        stream.push(token)
        shown.append(stream.text)
    return shown, stream


@pytest.mark.parametrize(
    "text", ["Hello, world!", " leading", "日本語と中文", "👩‍👩‍👧‍👦🎉", "a\n\n  b\t", "naïve café"]
)
def test_the_pieces_make_the_text_and_no_character_is_ever_cut(tokenizer, text: str):
    shown, stream = pushed(tokenizer, text)
    assert all(text.startswith(part) for part in shown)
    stream.finish()
    assert stream.text == text


def test_special_tokens_are_not_shown(tokenizer):
    _, stream = pushed(tokenizer, "<|im_start|>Hello<|im_end|>")
    assert stream.text == "Hello"


@pytest.mark.parametrize("stop", ["<human>:", "###", "\n\nUser:", "d"])
def test_a_stop_string_never_shows_not_even_its_beginning(tokenizer, stop: str):
    text = "Hello worl"
    shown, stream = pushed(tokenizer, f"{text}{stop} and more", [stop, "never"])
    assert stream.stopped and stream.text == text
    assert all(text.startswith(part) for part in shown)


def test_what_only_began_like_a_stop_string_is_shown_in_the_end(tokenizer):
    shown, stream = pushed(tokenizer, "a < b and <hu", ["<human>:"])
    assert shown[-1] == "a < b and "
    stream.finish()
    assert stream.text == "a < b and <hu" and not stream.stopped


def test_a_character_that_never_became_whole_is_shown_as_the_tokenizer_decodes_it(tokenizer):
    ids = tokenizer("Hi 🎉")["input_ids"][:-1]
    stream = TextStream(tokenizer)
    for token in ids:
        stream.push(token)
    assert stream.text == "Hi"
    stream.finish()
    assert stream.text == tokenizer.decode(ids) and "\ufffd" in stream.text
