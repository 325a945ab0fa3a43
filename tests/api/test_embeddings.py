"""Embeddings and reranking over the API, with small encoders and the protocols' own clients."""

import base64
import json
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import ollama
import openai
import pytest
from openai.types import CreateEmbeddingResponse
from starlette.testclient import TestClient
from transformers import BertForSequenceClassification, BertModel

from llm_chatbot.api.encoders import ServedEncoders
from llm_chatbot.api.service import create_app
from llm_chatbot.encoder.encoder import CrossEncoder, Encoder
from llm_chatbot.encoder.loading import load_cross_encoder, load_encoder
from tests.api.documented import documented_commands
from tests.encoder.small_encoders import TOKENS, write_bert
from tests.fake_model import FakeModel, said

TEXTS = ["The capital of France is Paris.", "A man is eating food.", "Rome"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("encoders") / "small"
    write_bert(folder, BertModel, matryoshka_dimensions=[8, 16])
    return load_encoder(str(folder))


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    folder = tmp_path_factory.mktemp("encoders") / "reader"
    write_bert(folder, BertForSequenceClassification, num_labels=1)
    return load_cross_encoder(str(folder))


@pytest.fixture
def web(encoder: Encoder) -> Iterator[TestClient]:
    app = create_app({"fake": FakeModel(said("Hi"))}, encoders=ServedEncoders({"small": encoder}))
    with TestClient(app, raise_server_exceptions=False) as web:
        yield web


@pytest.fixture
def client(web: TestClient) -> openai.OpenAI:
    return openai.OpenAI(base_url="http://testserver/v1", api_key="none", max_retries=0, http_client=web)


def post(web: TestClient, path: str, **body: Any) -> Any:
    response = web.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def fault(web: TestClient, path: str, **body: Any) -> tuple[int, str | None, str]:
    response = web.post(path, json=body)
    error = response.json()["error"]
    return response.status_code, error["param"], error["message"]


def test_openais_client_gets_the_vectors_of_texts_and_of_ids(client: openai.OpenAI, encoder: Encoder):
    expected = encoder.embed(TEXTS)
    answer = client.embeddings.create(model="small", input=TEXTS)  # the client asks for base64
    assert answer.model == "small" and [one.index for one in answer.data] == [0, 1, 2]
    np.testing.assert_allclose([one.embedding for one in answer.data], expected, atol=1e-6)
    tokens = encoder.tokenize(TEXTS)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(len(text.ids) for text in tokens)
    for input, rows in [
        (TEXTS[0], expected[:1]),
        ([*tokens[0].ids], expected[:1]),
        ([[*t.ids] for t in tokens], expected),
    ]:
        answer = client.embeddings.create(model="any name", input=input, encoding_format="float", user="me")  # type: ignore[arg-type]
        np.testing.assert_allclose([one.embedding for one in answer.data], rows, atol=1e-6)


def test_embeddings_are_of_the_clients_types(web: TestClient):
    answer = CreateEmbeddingResponse.model_validate(post(web, "/v1/embeddings", input=TEXTS))
    assert not answer.model_extra and not answer.data[0].model_extra and not answer.usage.model_extra
    asked = {"model": "small", "input": TEXTS}
    assert not ollama.EmbedResponse.model_validate(post(web, "/api/embed", **asked)).model_extra


def test_base64_is_32_bit_numbers_with_the_lowest_byte_first(web: TestClient, encoder: Encoder):
    (one,) = post(web, "/v1/embeddings", input="Rome", encoding_format="base64")["data"]
    vector = np.frombuffer(base64.b64decode(one["embedding"]), "<f4")
    np.testing.assert_allclose(vector, encoder.embed(["Rome"])[0], atol=1e-6)


def test_a_vector_is_cut_only_where_the_model_was_trained_so(web: TestClient, encoder: Encoder):
    (one,) = post(web, "/v1/embeddings", input="Rome", dimensions=8)["data"]
    whole = encoder.embed(["Rome"])[0]
    np.testing.assert_allclose(one["embedding"], whole[:8] / np.linalg.norm(whole[:8]), atol=1e-6)
    assert len(post(web, "/v1/embeddings", input="Rome", dimensions=32)["data"][0]["embedding"]) == 32
    status, param, message = fault(web, "/v1/embeddings", input="Rome", dimensions=9)
    assert (status, param) == (400, "dimensions") and "32 values" in message


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"input": []}, "input", "at least 1"),
        ({"input": ["a", [1]]}, "input", "either texts or token ids"),
        ({"input": [2, 9999]}, None, "9999 is the id of none"),
        ({"input": ["a", "food " * TOKENS]}, "input", f"Text 2 has {TOKENS + 2} tokens"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format", "base64"),
        ({"input": "a", "task": "retrieval"}, "task", "task"),
        ({}, "input", "required"),
    ],
)
def test_what_cannot_be_embedded_is_refused_by_its_name(
    body: dict[str, Any], param: str | None, words: str, web: TestClient
):
    status, named, message = fault(web, "/v1/embeddings", **body)
    assert (status, named) == (400, param) and words in message


def test_texts_are_ranked_by_the_products_of_their_vectors(web: TestClient, encoder: Encoder):
    vectors, query = encoder.embed(TEXTS), encoder.embed(["The capital of Italy?"])[0]
    order = np.argsort(-(vectors @ query))
    answer = post(web, "/v1/rerank", query="The capital of Italy?", documents=[*TEXTS[:2], {"text": TEXTS[2]}])
    assert [one["index"] for one in answer["results"]] == order.tolist() and answer["model"] == "small"
    scores = [one["relevance_score"] for one in answer["results"]]
    np.testing.assert_allclose(scores, (vectors @ query)[order], atol=1e-6)
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] > 20
    for path in ("/rerank", "/v2/rerank"):
        answer = post(web, path, query="Rome", documents=TEXTS, top_n=1, return_documents=True)
        assert answer["results"] == [{"index": 2, "relevance_score": pytest.approx(1), "document": {"text": "Rome"}}]


def test_a_text_that_is_too_long_to_be_ranked_is_named(web: TestClient):
    long = "a " * 600
    assert fault(web, "/rerank", query=long, documents=TEXTS)[1] == "query"
    status, param, message = fault(web, "/rerank", query="a", documents=[*TEXTS[:2], long])
    assert (status, param) == (400, "documents") and message.startswith("Text 3 has ")


def test_a_model_that_reads_question_and_text_together_ranks_by_its_scores(encoder: Encoder, reranker: CrossEncoder):
    encoders = ServedEncoders({"small": encoder}, {"reader": reranker})
    with TestClient(create_app({"fake": FakeModel(said("Hi"))}, encoders=encoders)) as web:
        body = {"query": "What is the capital?", "documents": TEXTS}
        expected = reranker.scores("What is the capital?", TEXTS)
        for name in ({}, {"model": "reader"}):
            answer = post(web, "/v1/rerank", **body, **name)
            found = {one["index"]: one["relevance_score"] for one in answer["results"]}
            np.testing.assert_allclose([found[index] for index in range(3)], expected, atol=1e-6)
        assert post(web, "/v1/rerank", **body, model="small")["model"] == "small"
        assert post(web, "/v1/embeddings", input="a")["model"] == "small"


def test_ollamas_client_gets_vectors_and_long_texts_are_cut_off(web: TestClient, encoder: Encoder):
    client = ollama.Client("http://testserver")
    client._client = web
    answer = client.embed("small:latest", TEXTS)
    np.testing.assert_allclose(answer.embeddings, encoder.embed(TEXTS), atol=1e-6)
    assert answer.model == "small" and answer.prompt_eval_count == sum(map(encoder.num_tokens, TEXTS))
    assert len(client.embed("small", "Rome", dimensions=16).embeddings[0]) == 16
    assert client.embed("small", []).embeddings == []
    np.testing.assert_allclose(client.embeddings("small", "Rome").embedding, encoder.embed(["Rome"])[0], atol=1e-6)
    long = "food " * (TOKENS + 20)
    np.testing.assert_allclose(
        client.embed("small", long).embeddings[0], encoder.embed(["food " * (TOKENS - 2)])[0], atol=1e-6
    )
    response = web.post("/api/embed", json={"model": "small", "input": long, "truncate": False})
    assert response.status_code == 400 and "reads at most" in response.json()["error"]
    assert client.show("small").capabilities == ["embedding"]
    assert [model.model for model in client.list().models] == ["fake", "small"]
    assert client.ps().models[1].name == "small"


def test_encoders_are_listed_behind_the_chat_models(client: openai.OpenAI):
    assert [model.id for model in client.models.list()] == ["fake", "small"]
    assert client.models.retrieve("small").model_extra["max_model_len"] == TOKENS  # type: ignore[index]


def test_a_server_without_an_encoder_says_how_to_start_it_with_one():
    with TestClient(create_app({"fake": FakeModel(said("Hi"))}, keys=["secret"])) as web:
        headers = {"x-api-key": "secret"}
        for path, body in {"/v1/embeddings": {"input": "a"}, "/rerank": {"query": "a", "documents": ["a"]}}.items():
            assert web.post(path, json=body).status_code == 401
            response = web.post(path, json=body, headers=headers)
            assert response.status_code == 501 and "--embedding-model" in response.json()["error"]["message"]


def test_the_encoders_thread_ends_with_the_server(encoder: Encoder):
    encoders = ServedEncoders({"small": encoder})
    with TestClient(create_app({"fake": FakeModel(said("Hi"))}, encoders=encoders)) as web:
        post(web, "/v1/embeddings", input="a")
        (thread,) = encoders._thread._threads
        assert thread.is_alive()
    assert not thread.is_alive()


def test_several_encoders_have_to_be_named(encoder: Encoder):
    app = create_app({"fake": FakeModel(said("Hi"))}, encoders=ServedEncoders({"small": encoder, "other": encoder}))
    with TestClient(app) as web:
        assert fault(web, "/v1/embeddings", input="a")[0] == 404
        status, _, message = fault(web, "/v1/embeddings", input="a", model="fake")
        assert status == 404 and "small, other" in message
        assert post(web, "/v1/embeddings", input="a", model="other")["model"] == "small"


def test_the_documented_commands_are_answered(web: TestClient):
    found = documented_commands(encoders=True)
    assert len(found) == 2
    for command in found:
        words = shlex.split(command)
        assert post(web, urlsplit(words[1]).path, **json.loads(words[words.index("-d") + 1]))["model"] == "small"


@pytest.mark.parametrize("text", ["The capital of France", "[SEP] is text", ""])
def test_an_encoders_tokens_are_those_that_it_reads(text: str, web: TestClient, encoder: Encoder):
    (read,) = encoder.tokenize([text])
    around = post(web, "/tokenize", model="small", content=text, add_special=True)
    assert around == {"tokens": [*read.ids], "count": len(read.ids), "max_model_len": encoder.max_tokens}
    alone = post(web, "/tokenize", model="small", prompt=text)["tokens"]
    assert alone == list(read.ids)[1:-1]
    again = post(web, "/detokenize", model="small", tokens=alone)["content"]
    assert "[" in text or post(web, "/tokenize", model="small", content=again)["tokens"] == alone


def test_an_encoder_has_no_conversations(web: TestClient):
    messages = [{"role": "user", "content": "Hi"}]
    for path in ("/tokenize", "/apply-template"):
        status, param, sentence = fault(web, path, model="small", messages=messages)
        assert (status, param) == (404, "model") and "choose one of: fake" in sentence
