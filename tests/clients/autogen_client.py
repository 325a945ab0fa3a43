"""AutoGen's agent with OpenAIChatCompletionClient."""

import asyncio
import json

from autogen_agentchat.agents import AssistantAgent
from autogen_core.models import ModelFamily, UserMessage
from autogen_core.tools import FunctionTool
from autogen_ext.models.openai import OpenAIChatCompletionClient
from checks import MODEL, QUESTION, URL, report
from pydantic import BaseModel

client = OpenAIChatCompletionClient(
    model=MODEL,
    base_url=f"{URL}/v1",
    api_key="none",
    model_info={
        "vision": False,
        "function_calling": True,
        "json_output": True,
        "family": ModelFamily.UNKNOWN,
        "structured_output": True,
    },
)


class Answer(BaseModel):
    city: str
    capital: bool


async def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


async def asked() -> None:
    answer = await AssistantAgent("helper", client).run(task=QUESTION)
    assert answer.messages[-1].to_text()


async def streamed() -> None:
    parts = [part async for part in client.create_stream([UserMessage(content=QUESTION, source="user")])]
    assert len(parts) > 2


async def with_tools() -> None:
    tool = FunctionTool(weather, "The weather in a city.")
    asked = [UserMessage(content=QUESTION, source="user")]
    (call,) = (await client.create(asked, tools=[tool], tool_choice="required")).content
    assert call.name == "weather" and "city" in json.loads(call.arguments)
    assert (await AssistantAgent("helper", client, tools=[weather]).run(task=QUESTION)).messages[-1].to_text()


async def structured() -> None:
    answer = await client.create([UserMessage(content=QUESTION, source="user")], json_output=Answer)
    Answer.model_validate_json(str(answer.content))


async def main() -> None:
    runner = asyncio.get_running_loop()
    for name, check in {"chat": asked, "stream": streamed, "tools": with_tools, "structured": structured}.items():
        task = runner.create_task(check())
        await asyncio.wait({task})
        report(**{name: task.result})


asyncio.run(main())
