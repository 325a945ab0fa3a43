import pytest

from llm_chatbot.page.compare import mark_differences, token_texts


def marked(parts: list) -> list[str]:
    return [part["text"] for part in parts if part["differs"]]


def test_the_tokens_that_differ_are_marked_and_all_text_is_there(tokenizer):
    left, right = "The capital of France is Paris.", "The capital of France is Lyon, not Paris."
    columns = mark_differences(left, right, tokenizer)
    assert ["".join(part["text"] for part in column) for column in columns] == [left, right]
    assert [marked(column) for column in columns] == [[], [" Lyon, not"]]


@pytest.mark.parametrize("text", ["", "  a\n\nb ", "日本の首都は東京です。", "👩‍👩‍👧 café", "<|im_end|> & <b>"])
def test_tokens_make_up_the_text_whatever_it_is(text: str, tokenizer):
    assert "".join(token_texts(text, tokenizer)) == text
    columns = mark_differences(text, text, tokenizer)
    assert columns[0] == columns[1] and not marked(columns[0])
    assert marked(mark_differences(text, "", tokenizer)[0]) == ([text] if text else [])
