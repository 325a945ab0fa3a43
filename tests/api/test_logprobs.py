"""Log-probabilities of the embedded model, as OpenAI's client gets them: values, bytes and offsets."""

import codecs
import re
from typing import Any

import pytest

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from tests.api.running_service import Service, asked

# Prompts after which pieces of characters are likely.
PROMPTS = ["😀 is 🤖 and 🎉 is", "日本語は、とても", "🎉🎉🎉🎉", "“naïve café” – “", "नमस्ते ", "Hello"]


def bytes_of(name: str) -> bytes:
    """The bytes of a token by the name that Completions give it."""
    if not name.startswith("bytes:"):
        return name.encode()
    return bytes(int(byte, 16) for byte in re.findall(r"\\x([0-9a-f]{2})", name))


def characters(data: bytes) -> str:
    """The characters that are whole."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(data)


def completions(service: Service, stream: bool, **request: Any) -> tuple[str, list[Any]]:
    """The text, and of each token its name, its value, the list and the offset."""
    answer = service.client.completions.create(model=DEFAULT_MODEL, temperature=0, stream=stream, **request)
    choices = [part.choices[0] for part in answer] if stream else [answer.choices[0]]
    found = [choice.logprobs for choice in choices if choice.logprobs]
    fields = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
    rows = [row for each in found for row in zip(*(getattr(each, field) for field in fields), strict=True)]
    return "".join(choice.text for choice in choices), rows


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_each_token_is_in_its_list_with_its_value_and_begins_where_it_says(service: Service, prompt: str, stream: bool):
    text, rows = completions(service, stream, prompt=prompt, max_tokens=12, logprobs=5)
    assert rows
    written = b""
    for name, value, top, offset in rows:
        assert top[name] == value and max(top.values()) >= value and len(top) >= 5, "equal texts are told apart"
        assert offset == len(characters(written))
        written += bytes_of(name)
    assert written.decode("utf-8", "replace") == text


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_tokens_of_a_repeated_prompt_have_the_offsets_of_its_text(service: Service, prompt: str):
    text, rows = completions(service, False, prompt=prompt, max_tokens=3, logprobs=1, echo=True)
    assert text.startswith(prompt) and rows[0][1] is None
    written = b""
    for name, _, _, offset in rows:
        assert offset == len(characters(written))
        written += bytes_of(name)
    assert written.decode("utf-8", "replace") == text


def test_no_other_tokens_are_listed_where_none_are_asked_for(service: Service):
    _, rows = completions(service, False, prompt=PROMPTS[0], max_tokens=6, logprobs=0)
    assert all(top == {name: value} for name, value, top, _ in rows)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_bytes_of_an_answers_tokens_are_its_text(service: Service, prompt: str):
    answer = service.client.chat.completions.create(
        model=DEFAULT_MODEL,
        messages=asked(f"Repeat: {prompt}"),
        temperature=0,
        max_tokens=16,
        logprobs=True,
        top_logprobs=3,
    )
    content = answer.choices[0].logprobs.content
    assert bytes(byte for token in content for byte in token.bytes).decode("utf-8", "replace") == (
        answer.choices[0].message.content
    )
    for token in content:
        likely = {tuple(each.bytes): each.logprob for each in token.top_logprobs}
        assert len(likely) == 3 and likely.get(tuple(token.bytes), token.logprob) == token.logprob
