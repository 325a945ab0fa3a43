"""A server with the embedded model, for tests that ask it as programs do."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import uvicorn

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.served import LocalModel
from llm_chatbot.answering.service import Answering
from llm_chatbot.api.service import create_app
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.engine.cache.block_pool import BlockPool, BlockTable
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.engine.text.tokenizer import FolderTokenizer
from llm_chatbot.folder.found import converted_folder

# As in Qwen2.5, and with reasoning where it is asked for: https://qwen.readthedocs.io/en/latest/framework/function_call.html
TOOLS_TEMPLATE = r"""
{%- if tools %}{{ '<|im_start|>system\nTools: ' + tools | tojson + '<|im_end|>\n' }}{% endif %}
{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content }}
{%- for call in message.tool_calls or [] %}
{{- '\n<tool_call>\n' + call.function | tojson + '\n</tool_call>' }}{% endfor %}
{{- '<|im_end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% if enable_thinking %}{{ '<think>\n' }}{% endif %}
{%- endif %}"""

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}


@dataclass
class Service:
    """A running server with three views of one model: as it is, with tools, and with a short queue."""

    port: int
    models: dict[str, LocalModel]
    model: ChatModel
    pool: BlockPool
    tokenizer: FolderTokenizer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key="none", max_retries=0)

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    @property
    def used_blocks(self) -> int:
        return self.pool.blocks - self.pool.free

    def forget_texts(self) -> None:
        """Evicts all that is cached: drafts bring what another test asked in fewer pieces than a test expects."""
        assert self.model.paged is not None
        with self.model.paged.lock:
            table = BlockTable(self.pool)
            table.reserve(self.pool.free * self.pool.block_size)
            table.release()

    def wait_until_active(self, count: int) -> None:
        """Waits until so many answers of the short queue are generated or wait."""
        wait_until(lambda: self.models["short-queue"].answering.unfinished == count, "the request does not arrive")

    def wait_until_idle(self) -> None:
        models = self.models.values()
        wait_until(
            lambda: not any(model.answering.unfinished for model in models) and not self.used_blocks,
            "an answer goes on, or keeps its blocks",
        )


def wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)


@contextmanager
def running_service(models_root: Path) -> Iterator[Service]:
    """A server that runs while the block does."""
    folder = converted_folder(DEFAULT_MODEL, "INT4", models_root)
    model, config = open_model(folder, ov_config=EXACT, kv_cache_gb=0.5), get_model_config(DEFAULT_MODEL)
    tokenizer, with_tools = FolderTokenizer(folder), FolderTokenizer(folder)
    with_tools.chat_template = TOOLS_TEMPLATE

    def local(name: str, tokenizer: FolderTokenizer, **bounds: Any) -> LocalModel:
        loaded = LoadedModel(model, tokenizer, config, name)
        return LocalModel(Answering(lambda key: loaded, **bounds), loaded)

    models = {
        DEFAULT_MODEL: local(DEFAULT_MODEL, tokenizer),
        "with-tools": local("with-tools", with_tools),
        "short-queue": local("short-queue", tokenizer, max_concurrent=1, max_waiting=1),
    }
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(models), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    assert model.paged is not None
    yield Service(listener.getsockname()[1], models, model, model.paged.pool, tokenizer)
    server.should_exit = True
    thread.join(timeout=30)


def asked(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]
