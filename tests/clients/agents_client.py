"""OpenAI Agents, which asks by Responses."""

from agents import Agent, ModelSettings, Runner, function_tool, set_default_openai_client, set_tracing_disabled
from checks import MODEL, QUESTION, URL, report
from openai import AsyncOpenAI
from pydantic import BaseModel

set_tracing_disabled(True)
set_default_openai_client(AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0))


class Answer(BaseModel):
    city: str
    capital: bool


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def chat() -> None:
    assert Runner.run_sync(Agent("helper", model=MODEL), QUESTION).final_output


def call() -> None:
    settings = ModelSettings(tool_choice="required")
    done = Runner.run_sync(Agent("helper", model=MODEL, tools=[weather], model_settings=settings), QUESTION)
    assert any(item.type == "tool_call_output_item" for item in done.new_items)


def structured() -> None:
    assert isinstance(Runner.run_sync(Agent("helper", model=MODEL, output_type=Answer), QUESTION).final_output, Answer)


report(chat=chat, tools=call, structured=structured)
