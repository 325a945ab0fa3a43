"""The missing part of a text: the prompts that a model gets for it, and what comes back."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient
from tokenizers import Tokenizer, models

from llm_chatbot.answering.served import ServedFacts
from llm_chatbot.api.service import create_app
from llm_chatbot.engine.text.infill import InfillTokens, infill_tokens
from tests.fake_model import FakeModel, said

PRE, SUF, MID, REPO, FILE = range(1001, 1006)
TOKENS = InfillTokens(PRE, SUF, MID, REPO, FILE, frozenset({FILE}))
BOS = [*range(7)]  # the fake model's beginning of every text; its other ids are those of characters


def post(path: str, body: dict[str, Any], tokens: InfillTokens | None = TOKENS) -> tuple[Any, FakeModel]:
    model = FakeModel(said("b", "b +"), about=ServedFacts("fake", 100, infill=tokens))
    with TestClient(create_app({"fake": model}), raise_server_exceptions=False) as web:
        return web.post(path, json=body), model


def prompt_of(model: FakeModel) -> Sequence[int | str]:
    prompt = model.questions[-1].prompt
    assert not isinstance(prompt, str) and list(prompt[:7]) == BOS
    return "".join(chr(id) if id < 1000 else f"<{id - 1000}>" for id in prompt[7:])


def test_an_editors_request_becomes_a_prompt_with_the_models_tokens():
    body = {"input_prefix": "a = ", "input_suffix": " c", "prompt": "b", "n_predict": 5, "temperature": 0.5}
    response, model = post("/infill", {**body, "samplers": ["top_k", "infill"], "t_max_predict_ms": 500})
    assert prompt_of(model) == "<1>a = <2> c<3>b"
    generation = model.questions[-1].generation
    assert (generation.max_new_tokens, generation.temperature) == (5, 0.5) and generation.end_ids == {FILE}
    answer = response.json()
    assert answer["content"] == "b +" and answer["stop"] and answer["stop_type"] == "eos"
    assert (answer["tokens_predicted"], answer["tokens_evaluated"], answer["tokens_cached"]) == (2, 6, 4)


@pytest.mark.parametrize(
    ("end", "expected"), [({"stopped_by": "\n"}, ("word", "\n")), ({"finish_reason": "length"}, ("limit", ""))]
)
def test_an_editor_learns_what_ended_the_text(end: dict[str, Any], expected: tuple[str, str]):
    *begun, last = said("b", "b +")
    model = FakeModel([*begun, replace(last, **end)], about=ServedFacts("fake", 100, infill=TOKENS))
    with TestClient(create_app({"fake": model})) as web:
        answer = web.post("/infill", json={"input_prefix": "a", "stop": "\n"}).json()
    assert (answer["stop_type"], answer["stopping_word"]) == expected


def test_other_files_stand_before_it():
    extra = [{"filename": "x.py", "text": "X"}, {"text": "Y"}]
    _, model = post("/infill", {"input_prefix": "a", "input_suffix": "c", "input_extra": extra})
    assert prompt_of(model) == "<4>myproject\n<5>x.py\nX<5>tmp\nY<5>filename\n<1>a<2>c<3>"
    assert model.questions[-1].generation.max_new_tokens == 100
    few = InfillTokens(PRE, SUF, MID, None, None, frozenset())
    _, model = post("/infill", {"input_prefix": "a", "input_suffix": "c", "input_extra": extra}, few)
    assert prompt_of(model) == "\n\n--- snippet ---\n\nX\n\n--- snippet ---\n\nY<1>a<2>c<3>"


def test_an_editor_gets_a_stream():
    response, _ = post("/infill", {"input_prefix": "a", "stream": True})
    *chunks, last = [json.loads(line.removeprefix("data: ")) for line in response.text.split("\n\n") if line]
    assert [chunk["content"] for chunk in chunks] == ["b", " +"] and not any(chunk["stop"] for chunk in chunks)
    assert last["stop"] and last["content"] == ""


def test_completions_take_what_stands_behind():
    response, model = post("/v1/completions", {"prompt": ["a", "b"], "suffix": "z"})
    prompts = [question.prompt for question in model.questions if not isinstance(question.prompt, str)]
    assert prompts == [(*BOS, PRE, ord("a"), SUF, ord("z"), MID), (*BOS, PRE, ord("b"), SUF, ord("z"), MID)]
    assert [choice["text"] for choice in response.json()["choices"]] == ["b +", "b +"]
    response, model = post("/api/generate", {"model": "fake", "prompt": "a", "suffix": "z", "stream": False})
    assert prompt_of(model) == "<1>a<2>z<3>" and response.json()["response"] == "b +"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/infill", {"input_prefix": "a"}, "input_suffix"),
        ("/v1/completions", {"prompt": "a", "suffix": "b"}, "suffix"),
    ],
)
def test_a_model_without_these_tokens_says_so(path: str, body: dict[str, Any], param: str):
    response, model = post(path, body, None)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param) and "no tokens for filling in" in error["message"]
    assert not model.questions


@pytest.mark.parametrize("body", [{"prompt": [1, 2]}, {"prompt": "a", "echo": True}])
def test_a_suffix_belongs_to_a_text(body: dict[str, Any]):
    response, _ = post("/v1/completions", {**body, "suffix": "b"})
    assert response.status_code == 400 and response.json()["error"]["param"] == "suffix"


def test_an_unknown_field_is_refused():
    response, _ = post("/infill", {"input_prefix": "a", "grammar": "root ::= x"})
    assert response.status_code == 400 and response.json()["error"]["param"] == "grammar"


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>"], (0, 1, 2, 3, 4)),
        (["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"], (0, 1, 2, None, None)),
    ],
)
def test_a_vocabulary_says_whether_its_model_fills_in(names: list[str], ids: tuple[int | None, ...]):
    found = infill_tokens(Tokenizer(models.WordLevel({name: id for id, name in enumerate(names)}, "")))
    assert found is not None and (found.prefix, found.suffix, found.middle, found.repository, found.file) == ids
    assert found.ends == {id for id in ids[3:] if id is not None}
    assert infill_tokens(Tokenizer(models.WordLevel({name: id for id, name in enumerate(names[:2])}, ""))) is None
