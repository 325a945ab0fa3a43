"""The service over real connections, with the embedded model: by OpenAI's client, by curl and by another program."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.engine.session import ChatSession
from llm_chatbot.engine.text.tokenizer import FolderTokenizer
from llm_chatbot.folder.found import converted_folder
from tests.api.documented import API_PAGE, documented_commands
from tests.api.running_service import WEATHER, Service, asked, wait_until


def test_openais_client_gets_the_engines_own_answer_whole_and_as_a_stream(service: Service, models_root: Path):
    messages = asked("What is the capital of France? And of Italy, Spain, Portugal and Greece?")
    session = ChatSession(service.model, FolderTokenizer(converted_folder(DEFAULT_MODEL, "INT4", models_root)))
    *_, expected = session.answer(messages, max_new_tokens=40)
    session.reset()
    create = service.client.chat.completions.create
    whole = create(model=DEFAULT_MODEL, messages=messages, temperature=0, max_tokens=40)
    assert whole.choices[0].message.content == expected.text and whole.usage
    assert whole.choices[0].finish_reason == expected.finish_reason

    stream = create(
        model=DEFAULT_MODEL,
        messages=messages,
        temperature=0,
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, last = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected.text
    assert len(chunks) > 3 and chunks[-1].choices[0].finish_reason == expected.finish_reason
    assert last.usage and last.usage.completion_tokens == whole.usage.completion_tokens == expected.completion_tokens
    assert last.usage.prompt_tokens_details and last.usage.prompt_tokens_details.cached_tokens >= 32, "read before"


def test_many_conversations_at_once_are_answered_as_they_are_alone(service: Service):
    questions = [asked(f"Count from {number} to {number + 5}.") for number in range(6)]

    def answer(messages: list[Any]) -> str | None:
        options = {"model": DEFAULT_MODEL, "temperature": 0, "max_tokens": 24}
        return service.client.chat.completions.create(messages=messages, **options).choices[0].message.content

    alone = [answer(messages) for messages in questions]
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(answer, questions)) == alone
    service.wait_until_idle()


def test_probabilities_stop_strings_and_several_answers(service: Service):
    create = service.client.chat.completions.create
    options = {"model": DEFAULT_MODEL, "messages": asked("Name a colour."), "max_tokens": 12, "seed": 5}
    two = create(n=2, temperature=1.5, logprobs=True, top_logprobs=2, **options)
    again = create(n=2, temperature=1.5, logprobs=True, top_logprobs=2, **options)
    texts = [choice.message.content for choice in two.choices]
    assert texts == [choice.message.content for choice in again.choices] and len(set(texts)) == 2
    logprobs = two.choices[0].logprobs
    assert logprobs and logprobs.content and len(logprobs.content) == 12
    assert all(len(entry.top_logprobs) == 2 and entry.logprob <= 0 for entry in logprobs.content)
    assert texts[0] and "".join(entry.token for entry in logprobs.content).startswith(texts[0])

    word = texts[0].split()[1]
    stopped = create(n=1, temperature=1.5, stop=[word], **options).choices[0]
    assert stopped.finish_reason == "stop" and word not in (stopped.message.content or "")


def test_a_raw_text_is_continued(service: Service):
    options = {"model": DEFAULT_MODEL, "prompt": ["One, two, three,", "A, B, C,"], "temperature": 0, "max_tokens": 6}
    whole = service.client.completions.create(logprobs=1, **options)
    assert whole.choices[0].text.startswith(" four") and whole.choices[1].text.startswith(" D")
    assert whole.choices[0].logprobs and len(whole.choices[0].logprobs.tokens or []) == 6
    chunks = list(service.client.completions.create(stream=True, **options))
    for index in (0, 1):
        text = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices[0].index == index)
        assert text == whole.choices[index].text


def test_a_schema_is_kept_whatever_the_model_would_say(service: Service):
    schema = {
        "type": "object",
        "properties": {
            "name": {"enum": ["Ann", "Bob"]},
            "ages": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
        },
        "required": ["name", "ages"],
        "additionalProperties": False,
    }
    format = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
    for temperature in (0, 2):
        choice = service.client.chat.completions.create(
            model=DEFAULT_MODEL,
            messages=asked("Write a poem."),
            temperature=temperature,
            seed=1,
            max_tokens=200,
            response_format=format,  # type: ignore[call-overload]
        ).choices[0]
        value = json.loads(choice.message.content)
        assert choice.finish_reason == "stop" and set(value) == {"name", "ages"}
        assert value["name"] in ("Ann", "Bob") and all(isinstance(age, int) for age in value["ages"])


def test_a_tool_is_called_and_its_result_is_read(service: Service):
    create = service.client.chat.completions.create
    messages = asked("How is the weather in Rome?")
    options: dict[str, Any] = {"model": "with-tools", "tools": [WEATHER], "max_tokens": 60, "temperature": 0}
    options["parallel_tool_calls"] = False
    # First: of a call that was made before, drafts may bring all at once.
    streamed = list(create(messages=messages, tool_choice="required", stream=True, **options))
    first, *pieces = [call for chunk in streamed for call in chunk.choices[0].delta.tool_calls or []]
    choice = create(messages=messages, tool_choice="required", **options).choices[0]
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls" and call.function.name == "weather"
    arguments = json.loads(call.function.arguments)
    assert arguments["city"] in ("Paris", "Rome") and isinstance(arguments["days"], int)
    assert first.function.name == "weather" and first.id and pieces
    assert "".join(piece.function.arguments for piece in (first, *pieces)) == call.function.arguments

    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "<|im_end|> 31 degrees"}]
    read = create(messages=messages, **options)
    assert read.choices[0].message.content is not None and read.usage.prompt_tokens > 60


def test_a_model_without_tools_in_its_template_calls_one_and_reads_the_result(service: Service):
    create = service.client.chat.completions.create
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, *asked("How is the weather in Rome?")]
    options: dict[str, Any] = {"model": DEFAULT_MODEL, "tools": [WEATHER], "max_tokens": 80, "temperature": 0}
    required = create(messages=messages, tool_choice="required", parallel_tool_calls=False, **options)
    (call,) = required.choices[0].message.tool_calls
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")
    plain = create(messages=messages, model=DEFAULT_MODEL, max_tokens=1)
    assert required.usage.prompt_tokens > plain.usage.prompt_tokens + 50, "the model is told of the tools"
    messages += [required.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "31 degrees"}]
    assert create(messages=messages, **options).choices[0].message.content is not None


def test_what_does_not_fit_is_refused_with_the_numbers(service: Service):
    create = service.client.chat.completions.create
    length = service.model.context_length
    with pytest.raises(openai.BadRequestError, match=rf"{length} tokens.* the prompt has \d{{4,}}") as error:
        create(model=DEFAULT_MODEL, messages=[*asked("Hello"), *asked("word " * 9000)])
    assert error.value.code == "context_length_exceeded"


def test_a_prompt_is_scored_as_evaluations_do_it(service: Service):
    """The likelier of two continuations, from the probabilities of the repeated prompt."""
    create = service.client.completions.create
    options: dict[str, Any] = {"model": DEFAULT_MODEL, "echo": True, "max_tokens": 0, "logprobs": 1}

    def score(text: str) -> float:
        choice = create(prompt=service.ids(text), **options).choices[0]
        assert choice.text == text and choice.finish_reason == "length"
        logprobs = choice.logprobs
        assert logprobs and logprobs.token_logprobs and logprobs.tokens and "".join(logprobs.tokens) == text
        assert logprobs.token_logprobs[0] is None
        return sum(value or 0 for value in logprobs.token_logprobs[1:])

    assert score("The capital of France is Paris") > score("The capital of France is Berlin")


def test_samplers_of_other_servers_change_the_answer(service: Service):
    create = service.client.chat.completions.create
    options: dict[str, Any] = {"model": DEFAULT_MODEL, "messages": asked("Say no."), "temperature": 0, "max_tokens": 24}
    plain = create(**options).choices[0].message.content
    (first,) = service.ids(plain.split()[0])[:1]
    for changed in (
        {"logit_bias": {str(first): -100}},
        {"extra_body": {"xtc_probability": 1, "xtc_threshold": 0}},
    ):
        assert create(**options, **changed).choices[0].message.content != plain


@pytest.fixture
def endless(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers end at their limit only, and not where the model would end them."""
    monkeypatch.setattr(service.model, "stop_ids", set())


def test_beyond_the_queue_requests_are_refused_and_may_come_back(service: Service, endless: None):
    def ask() -> httpx.Response:
        body = {"model": "short-queue", "messages": asked("Count to 3."), "max_tokens": 5}
        return httpx.post(f"{service.url}/chat/completions", json=body, timeout=60)

    service.wait_until_idle()
    first = open_request(service)
    service.wait_until_active(1)
    with ThreadPoolExecutor(1) as thread:
        second = thread.submit(ask)
        service.wait_until_active(2)
        refused = ask()
        first.close()
        assert second.result().status_code == 200
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) >= 1
    assert ask().status_code == 200


def open_request(service: Service, **fields: Any) -> socket.socket:
    """A connection on which the short queue has been asked for a long answer."""
    story = {"model": "short-queue", "messages": asked("Tell a very long story."), "max_tokens": 8000}
    body = json.dumps({**story, **fields})
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    connection = socket.create_connection(("127.0.0.1", service.port))
    connection.sendall(head.encode() + body.encode())
    return connection


@pytest.mark.parametrize("stream", [True, False])
def test_when_a_client_goes_away_its_answer_ends_and_its_blocks_come_back(
    service: Service, stream: bool, endless: None
):
    service.wait_until_idle()
    # The second one still waits for the first.
    first = open_request(service, stream=stream)
    if stream:
        while b"content" not in first.recv(4096):
            pass
    else:
        wait_until(lambda: service.used_blocks > 0, "no answer begins")
    second = open_request(service, stream=stream)
    service.wait_until_active(2)
    assert service.used_blocks > 0
    first.close()
    second.close()
    service.wait_until_idle()  # 8,000 tokens would take longer than it waits


def test_the_documented_curl_commands_work(service: Service):
    found = documented_commands(encoders=False)
    assert len(found) == 4 and shutil.which("curl")
    for command in found:
        # The command is for a shell; its words are the same everywhere but on Windows, where quotes differ.
        command = command.replace(":8000", f":{service.port}").replace('"messages"', '"max_tokens": 8, "messages"')
        done = subprocess.run(["bash", "-c", f"{command} -sS --fail"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("data: [DONE]\n\n") if "stream" in command else json.loads(done.stdout)


def test_a_well_known_program_answers_with_it(service: Service, tmp_path: Path):
    """Simon Willison's `llm`, configured as docs/api.md shows."""
    (settings,) = re.findall(r"```yaml\n(.*?)```", API_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "extra-openai-models.yaml"
    path.write_text(settings.replace(":8000", f":{service.port}"), encoding="utf-8")

    def llm(*arguments: str) -> str:
        command = [sys.executable, "-m", "llm", "prompt", "-m", "local", "--no-log", *arguments]
        environment = {**os.environ, "LLM_USER_PATH": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    options = ("-o", "temperature", "0", "-o", "max_tokens", "12")
    messages = asked("What is the capital of France?")
    expected = service.client.chat.completions.create(
        model=DEFAULT_MODEL, messages=messages, temperature=0, max_tokens=12
    )
    assert llm(messages[0]["content"], *options).strip() == (expected.choices[0].message.content or "").strip()
    schema = {
        "type": "object",
        "properties": {"legs": {"enum": [4]}},
        "required": ["legs"],
        "additionalProperties": False,
    }
    assert json.loads(llm("Invent a dog.", "--schema", json.dumps(schema), "--no-stream")) == {"legs": 4}
