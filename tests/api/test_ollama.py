"""Ollama's API: its client with the embedded model, and lines and fields that its programs read."""

import json
from typing import Any

import httpx
import ollama
import pytest
from starlette.testclient import TestClient

from llm_chatbot.answering.served import ServedFacts, WeightsFacts
from llm_chatbot.api import respond
from llm_chatbot.api.ollama.cards import count_text
from llm_chatbot.api.service import create_app
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.engine.decode.generation import Generation
from tests.api.running_service import WEATHER, Service, asked
from tests.fake_model import FakeModel, said

HELLO = {"model": "fake", "messages": [{"role": "user", "content": "Hello"}]}
THOUGHT = said("<think>Hm", "<think>Hm.</think>", "<think>Hm.</think>Hi", "<think>Hm.</think>Hi there")
THINKS = ServedFacts("fake", 100, chat_template="<think>", variables=frozenset({"enable_thinking", "reasoning_effort"}))
GREEDY = {"temperature": 0, "repeat_penalty": 1.0, "num_predict": 24}


def post(path: str, body: dict[str, Any], model: FakeModel | None = None, **options: Any) -> Any:
    app = create_app({"fake": model or FakeModel(said("Hi"))}, **options)
    with TestClient(app, raise_server_exceptions=False) as web:
        return web.post(f"/api/{path}", json={"model": "fake", **body})


def lines(response: Any) -> list[Any]:
    assert response.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in response.text.splitlines()]


@pytest.fixture
def client(service: Service) -> ollama.Client:
    return ollama.Client(service.url.removesuffix("/v1"))


def test_ollamas_client_gets_the_same_text_whole_streamed_and_from_chat_completions(
    service: Service, client: ollama.Client
):
    messages = asked("What is the capital of France?")
    chat = service.client.chat.completions.create(model=DEFAULT_MODEL, messages=messages, max_tokens=24, temperature=0)
    expected, reason = chat.choices[0].message.content, chat.choices[0].finish_reason
    whole = client.chat(DEFAULT_MODEL, messages, options=GREEDY, keep_alive="5m")
    assert whole.message.content == expected and whole.done and whole.done_reason == reason and chat.usage
    assert (whole.prompt_eval_count, whole.eval_count) == (chat.usage.prompt_tokens, chat.usage.completion_tokens)
    assert whole.total_duration and whole.eval_duration and whole.total_duration >= whole.prompt_eval_duration
    parts = list(client.chat(DEFAULT_MODEL, messages, options=GREEDY, stream=True))
    assert "".join(part.message.content for part in parts) == expected and len(parts) > 3
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]

    text = client.generate(DEFAULT_MODEL, messages[0]["content"], options=GREEDY)
    assert text.response == expected
    parts = list(client.generate(f"{DEFAULT_MODEL}:latest", messages[0]["content"], options=GREEDY, stream=True))
    assert "".join(part.response for part in parts) == expected
    raw = client.generate(DEFAULT_MODEL, "One, two, three,", raw=True, options={**GREEDY, "num_predict": 4})
    assert raw.response.startswith(" four")


def test_a_format_is_kept(client: ollama.Client):
    schema: dict[str, Any] = {"type": "object", "properties": {"legs": {"enum": [4]}}, "required": ["legs"]}
    schema["additionalProperties"] = False
    assert json.loads(client.chat(DEFAULT_MODEL, asked("Invent a dog."), format=schema).message.content) == {"legs": 4}
    text = client.generate(DEFAULT_MODEL, "Invent a dog.", format="json", options={"num_predict": 200, "seed": 3})
    assert text.done_reason == "length" or isinstance(json.loads(text.response), dict)


def test_a_tool_is_called_and_its_result_is_read(client: ollama.Client):
    options = {"num_predict": 60, "temperature": 0}
    messages: list[Any] = asked("How is the weather in Rome?")
    call = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome", "days": 1}}\n</tool_call>'
    with_call = [*messages, {"role": "assistant", "content": call[:60]}]  # which it goes on with
    whole = client.chat("with-tools", with_call, tools=[WEATHER], options=options)
    assert whole.message.content is not None and whole.done
    fake = FakeModel(said(call), about=ServedFacts("fake", 99, None, "{{ tools }}<tool_call>", frozenset({"tools"})))
    for stream in (False, True):
        response = post("chat", {**HELLO, "tools": [WEATHER], "stream": stream}, fake)
        found = [json.loads(line) for line in response.text.splitlines()]
        (function,) = [call["function"] for part in found for call in part["message"].get("tool_calls", [])]
        assert function == {"index": 0, "name": "weather", "arguments": {"city": "Rome", "days": 1}}
        (message,) = [part["message"] for part in found if part["message"].get("tool_calls")]
        parsed = ollama.ChatResponse.model_validate(found[-1] | {"message": message})
        assert parsed.message.tool_calls and parsed.message.tool_calls[0].function.arguments == function["arguments"]
    result = {"role": "tool", "content": "31 degrees", "tool_name": "weather"}
    read = client.chat("with-tools", [*messages, message, result], options=options)
    assert read.prompt_eval_count and read.prompt_eval_count > 40


def test_thinking_comes_apart(client: ollama.Client):
    thinking = {"think": True, "options": {"num_predict": 12}}
    whole = client.chat("with-tools", asked("What is two and two?"), **thinking)
    assert whole.message.thinking and not whole.message.content, "it still thinks at its limit"
    with pytest.raises(ollama.ResponseError, match="doesn't think"):
        client.chat(DEFAULT_MODEL, asked("Hi"), think=True)
    *parts, last = lines(post("chat", HELLO, FakeModel(THOUGHT)))
    assert "".join(part["message"].get("thinking", "") for part in parts) == "Hm."
    assert "".join(part["message"]["content"] for part in parts) == "Hi there" and last["done_reason"] == "stop"
    whole = post("generate", {"prompt": "Hello", "stream": False}, FakeModel(THOUGHT)).json()
    assert (whole["thinking"], whole["response"]) == ("Hm.", "Hi there")


@pytest.mark.parametrize(
    ("think", "expected"),
    [
        (None, {}),
        (False, {"enable_thinking": False}),
        (True, {"enable_thinking": True}),
        ("max", {"enable_thinking": True, "reasoning_effort": "high"}),
    ],
)
def test_how_much_is_thought_reaches_the_template(think: Any, expected: dict[str, Any]):
    model = FakeModel(said("Hi"), about=THINKS)
    assert post("chat", {**HELLO, "think": think}, model).status_code == 200
    assert model.questions[0].template_options == expected


def test_options_reach_the_engine_and_ollamas_defaults_hold():
    model = FakeModel(said("Hi"))
    options = {"temperature": 0.5, "top_k": 5, "top_p": 0.5, "min_p": 0.1, "repeat_penalty": 1.2, "num_predict": 9}
    resources = {"num_ctx": 4096, "num_gpu": 1, "num_thread": 2, "mirostat": 0, "tfs_z": 1.0, "numa": None}
    post("chat", {**HELLO, "options": {**options, **resources, "seed": 7, "stop": ["x"]}}, model)
    post("chat", {**HELLO, "options": {"num_predict": -1, "seed": -1}}, model)
    post("generate", {"prompt": "Hello", "raw": True, "suffix": "", "context": [], "images": []}, model)
    chosen, default, raw = (question.generation for question in model.questions)
    numbers = {"temperature": 0.5, "top_k": 5, "top_p": 0.5, "min_p": 0.1, "repetition_penalty": 1.2}
    assert chosen == Generation(**numbers, max_new_tokens=9, seed=7, stop=("x",))
    defaults = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "repetition_penalty": 1.1}
    assert default == raw == Generation(**defaults, max_new_tokens=100)
    assert model.questions[2].prompt == "Hello" and not model.questions[2].messages


def test_probabilities_come_with_each_line(client: ollama.Client):
    options = {"num_predict": 4, "temperature": 0}
    whole = client.chat(DEFAULT_MODEL, asked("Name a colour."), logprobs=True, top_logprobs=2, options=options)
    assert whole.logprobs and len(whole.logprobs) == 4 and len(whole.logprobs[0].top_logprobs or []) == 2
    parts = list(client.generate(DEFAULT_MODEL, "Name a colour.", logprobs=True, options=options, stream=True))
    assert sum(len(part.logprobs or []) for part in parts) == 4


def test_models_are_listed_and_described(service: Service, client: ollama.Client):
    listed = {model.model: model for model in client.list().models}
    model = listed[DEFAULT_MODEL]
    assert model.size and model.size > 1_000_000 and model.digest and len(model.digest) == 64 and model.modified_at
    assert model.details and model.details.family == "llama" and model.details.format == "openvino"
    shown = client.show("with-tools")
    assert shown.capabilities == ["completion", "tools", "thinking"] and "<tool_call>" in (shown.template or "")
    assert shown.modelinfo and shown.modelinfo["llama.context_length"] == 8192
    assert client.show(DEFAULT_MODEL).capabilities == ["completion", "tools"]
    with pytest.raises(ollama.ResponseError, match="There is no model 'other'"):
        client.show("other")
    running = {model.name: model for model in client.ps().models}
    assert running[DEFAULT_MODEL].context_length == 8192 and running[DEFAULT_MODEL].expires_at
    version = httpx.get(f"{service.url.removesuffix('/v1')}/api/version").json()["version"]
    assert tuple(map(int, version.split("."))) >= (0, 6, 4), "what the best-known programs ask for"


def test_what_is_known_of_weights_is_said():
    weights = WeightsFacts("qwen3", "gguf", "Q4_1", 1_720_000_000, 12, 1e9)
    model = FakeModel(said("Hi"), about=ServedFacts("fake", 100, weights=weights))
    with TestClient(create_app({"fake": model})) as web:
        (card,) = web.get("/api/tags").json()["models"]
    assert card["details"]["parameter_size"] == "1.7B" and card["details"]["quantization_level"] == "Q4_1"
    assert card["modified_at"] == "2001-09-09T01:46:40Z" and card["size"] == 12
    assert (count_text(134_515_008), count_text(None)) == ("134.5M", "")


def test_a_request_without_a_question_says_that_the_model_is_there(client: ollama.Client):
    assert client.chat(DEFAULT_MODEL, []).done_reason == "load"
    assert client.generate(DEFAULT_MODEL, keep_alive=0).done_reason == "unload"


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("chat", {**HELLO, "options": {"mirostat": 2}}, 400, "'mirostat' is not supported"),
        ("chat", {**HELLO, "options": {"temperature": 3}}, 400, "less than or equal to 2"),
        ("chat", {**HELLO, "options": {"num_predict": "5x"}}, 400, "valid integer"),
        ("chat", {**HELLO, "options": {"seed": [1]}}, 400, "a list was sent"),
        ("chat", {"messages": [{"role": "user", "content": "x", "images": ["x"]}]}, 400, "images are not supported"),
        ("generate", {"prompt": "x", "suffix": "y"}, 400, "no tokens for filling in"),
        ("generate", {"prompt": "x", "context": [1]}, 400, "send the conversation to /api/chat"),
        ("embed", {"input": "x"}, 501, "--embedding-model"),
        ("pull", {}, 404, "Not Found"),
    ],
)
def test_what_can_not_be_done_is_refused_in_ollamas_form(path: str, body: dict[str, Any], status: int, message: str):
    response = post(path, body)
    assert response.status_code == status and message in response.json()["error"]


def test_a_failure_in_a_stream_is_a_line_and_a_wait_too(monkeypatch: pytest.MonkeyPatch):
    *_, last = lines(post("chat", HELLO, FakeModel([*said("Hi")[:1], RuntimeError("/secret")])))
    assert list(last) == ["error"] and "secret" not in last["error"]
    monkeypatch.setattr(respond, "PAUSE_SECONDS", 0.05)
    found = lines(post("chat", HELLO, FakeModel(said("Hi"), pause=0.2)))
    assert sum(part["message"]["content"] == "" for part in found) >= 3 and found[-1]["done"]


def test_the_oldest_turns_are_left_out_where_that_is_asked_for():
    model = FakeModel(said("Hi"))
    for truncate in (False, True):
        post("chat", {**HELLO, "truncate": truncate}, model)
    assert [question.room for question in model.questions] == [1, None]


def test_curl_needs_no_header_and_a_page_of_another_origin_gets_nowhere():
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with TestClient(create_app({"fake": FakeModel(said("Hi"))})) as web:
        assert web.post("/api/chat", content=json.dumps(HELLO), headers=form).status_code == 200
        for origin in ("http://evil.example", "null"):
            response = web.post("/api/chat", content=json.dumps(HELLO), headers={**form, "Origin": origin})
            assert response.status_code == 400 and "Content-Type" in response.json()["error"]
