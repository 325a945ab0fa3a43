"""LangChain's ChatOpenAI and OpenAIEmbeddings."""

from typing import Any

from checks import ENCODER, FUNCTION, MODEL, QUESTION, SCHEMA, URL, matches, report
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

place: Any = {"base_url": f"{URL}/v1", "api_key": "none", "max_retries": 0}
model = ChatOpenAI(model=MODEL, **place)


def chat() -> None:
    assert model.invoke(QUESTION).content


def stream() -> None:
    assert len([part for part in model.stream(QUESTION) if part.content]) > 1


def call() -> None:
    tool = {"type": "function", "function": FUNCTION}
    matches(model.bind_tools([tool], tool_choice="weather").invoke(QUESTION).tool_calls[0]["args"])


def structured() -> None:
    schema = {"title": "answer", "description": "An answer.", **SCHEMA}
    matches(model.with_structured_output(schema, method="json_schema").invoke(QUESTION))


def responses() -> None:
    assert ChatOpenAI(model=MODEL, use_responses_api=True, **place).invoke(QUESTION).content


def embeddings() -> None:
    encoder = OpenAIEmbeddings(model=ENCODER, check_embedding_ctx_length=False, **place)
    assert len(encoder.embed_documents(["a", "b"])) == 2


report(chat=chat, stream=stream, tools=call, structured=structured, responses=responses, embeddings=embeddings)
