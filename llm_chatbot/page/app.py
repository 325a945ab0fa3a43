"""The chat page: its models, its answers, and what scripts can ask."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_chatbot.answering.errors import QueueFullError
from llm_chatbot.answering.limits import MAX_CONCURRENT, MAX_WAITING
from llm_chatbot.answering.models import LoadedModel, ModelPool
from llm_chatbot.answering.options import (
    MAX_NEW_TOKENS,
    MIN_P,
    REPETITION_PENALTY,
    SEED,
    TEMPERATURE,
    TOP_K,
    TOP_P,
    described_settings,
    page_generation,
)
from llm_chatbot.answering.passages import PassageFinder
from llm_chatbot.answering.question import Question
from llm_chatbot.answering.service import Answering
from llm_chatbot.catalogue.example_questions import EXAMPLE_QUESTIONS
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.engine.devices import available_devices
from llm_chatbot.engine.session import Model
from llm_chatbot.engine.text.prompt import Message, template_variables
from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.errors import UserError
from llm_chatbot.page.compare import compare_route
from llm_chatbot.page.forget import forget_route
from llm_chatbot.page.get_model import ModelGetter
from llm_chatbot.page.gradio_without_mcp import gradio as gr
from llm_chatbot.page.knowledge import PageKnowledge
from llm_chatbot.page.knowledge_routes import knowledge_routes
from llm_chatbot.page.messages import joined, user_message, validate_messages
from llm_chatbot.page.model_choices import model_choices
from llm_chatbot.page.model_routes import model_routes
from llm_chatbot.page.routes import page_routes
from llm_chatbot.page.server import ServedBlocks
from llm_chatbot.page.summaries import summary_route
from llm_chatbot.page.titles import title_route
from llm_chatbot.texts import LANGUAGES, model_description, translate

if TYPE_CHECKING:
    from llm_chatbot.page.tools import PageTools


def make_demo(
    model: Model,
    tokenizer: ChatTokenizer,
    config: ModelConfig,
    title: str,
    root: Path | None = None,
    max_concurrent: int = MAX_CONCURRENT,
    max_waiting: int = MAX_WAITING,
    mcp: Path | None = None,
    mcp_for_visitors: Sequence[str] = (),
) -> gr.Blocks:
    """Makes a page on which any number of people can chat with the model, each in their own conversation.

    Args:
        model: what `load_model` or `llm_chatbot.engine.loading.open_model` returned.
        tokenizer: from the same folder.
        config: the row of the catalogue, for the system prompt and the example questions.
        title: the heading of the page.
        root: the folder of the converted models that can be chosen on the page; None offers no choice.
        max_concurrent: how many answers are generated at a time; other questions wait.
        max_waiting: how many questions may wait; more are refused.
        mcp: a file that names MCP servers, see `llm_chatbot.tools.configuration`; None: there are no tools.
        mcp_for_visitors: the tools that people at other machines may use, each as "SERVER/TOOL".

    Raises:
        UserError: the file or the name of a tool has another form.
    """
    tools = tools_of_file(mcp, mcp_for_visitors) if mcp else None
    loaded = LoadedModel(model, tokenizer, config, title)
    return ChatPage(loaded, root, max_concurrent, max_waiting, tools=tools).demo


def tools_of_file(path: Path, visitors: Sequence[str] = ()) -> "PageTools":
    """The tools of the servers that a file names; see `page_tools`."""
    from llm_chatbot.page.tools import page_tools  # what reads and forces calls is imported for pages with tools alone

    return page_tools(path, visitors)


class ChatPage:
    """The server's part of the page: the browser keeps the conversations and draws them, see `llm_chatbot/page/web`.

    Attributes:
        pool: the loaded models.
        answering: what is being generated, or was lately.
        demo: the page.

    Args:
        loaded, root, max_concurrent, max_waiting: see `make_demo`.
        idle, memory: see `ModelPool`.
        get_models: whether the page downloads and converts models: for people who may fill this machine's disk.
        knowledge: the collections that answers can be given passages of; None: there are none.
        tools: those that answers may call; None: there are none.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        root: Path | None,
        max_concurrent: int = MAX_CONCURRENT,
        max_waiting: int = MAX_WAITING,
        idle: float | None = None,
        get_models: bool = False,
        knowledge: PageKnowledge | None = None,
        tools: "PageTools | None" = None,
        **memory: Any,
    ) -> None:
        self.loaded, self.root = loaded, root
        self.pool = ModelPool(root, loaded, idle, **memory)
        self.getter = ModelGetter(root) if root and get_models else None
        self.knowledge, self.tools = knowledge, tools
        find = PassageFinder(knowledge.searcher, knowledge.root) if knowledge else None
        offer = tools.offer if tools else None
        self.answering = Answering(self.pool.get, max_concurrent, max_waiting, find_passages=find, offer_tools=offer)
        routes = page_routes(self.answering, self.describe, lambda key: described_model(self.pool.get(key)), tools)
        routes += [compare_route(self.pool.get), title_route(self.answering), summary_route(self.answering)]
        routes += [forget_route(), *model_routes(self.getter)] if self.getter else []
        routes += knowledge_routes(knowledge) if knowledge else []
        if tools:
            from llm_chatbot.page.tool_routes import tool_routes

            routes += tool_routes(tools, self.pool.get)
        self.demo = ServedBlocks(routes, self.close, title=loaded.title, analytics_enabled=False)
        with self.demo:
            gr.api(self.chat, api_name="chat", concurrency_limit=None)
        self.demo.queue(max_size=None)  # `answering` has the queue

    def close(self) -> None:
        """Stops what is being generated, loaded or converted."""
        self.answering.close()
        self.pool.close()
        if self.getter:
            self.getter.close()
        if self.knowledge:
            self.knowledge.close()
        if self.tools:
            self.tools.close()

    def describe(self) -> dict[str, Any]:
        """The facts that the page needs at its start."""
        return {
            "model": described_model(self.loaded),
            "models": [asdict(choice) for choice in model_choices(self.pool)],
            "devices": available_devices() if self.root else [],
            "settings": described_settings(),
            "languages": LANGUAGES,
            "examples": EXAMPLE_QUESTIONS,
            "get_models": self.getter is not None,
            "knowledge": self.knowledge is not None,
        }

    # For scripts

    def chat(
        self,
        message: str,
        history: list[Message] | None = None,
        system_prompt: str | None = None,
        temperature: float = TEMPERATURE,
        top_p: float = TOP_P,
        top_k: int = TOP_K,
        repetition_penalty: float = REPETITION_PENALTY,
        max_new_tokens: int | None = MAX_NEW_TOKENS,
        seed: int = SEED,
        min_p: float = MIN_P,
    ) -> Iterator[str]:
        """Streams the answer to a message that follows `history`; each value is the whole answer so far.

        Without a system prompt, the default of the model is used.
        """
        try:
            messages = [*validate_messages(history or []), user_message(message)]
            settings = {
                "temperature": temperature,
                "top_p": top_p,
                "top_k": top_k,
                "repetition_penalty": repetition_penalty,
                "max_new_tokens": max_new_tokens,
                "seed": seed,
                "min_p": min_p,
            }
            question = Question(joined(messages), generation=page_generation(settings), system_prompt=system_prompt)
            self.answering.ask(question)
            with closing(self.answering.follow(question.id)) as states:
                for state in states:
                    if state.error is not None:
                        raise gr.Error(str(state.error))
                    if state.answer is not None:
                        yield state.answer.text
        except QueueFullError as error:
            raise gr.Error(translate("en", "queue_full")) from error
        except UserError as error:
            raise gr.Error(str(error)) from error


def described_model(loaded: LoadedModel) -> dict[str, Any]:
    """A loaded model, for the browser: also which switches of reasoning its chat template has."""
    try:
        variables = template_variables(loaded.tokenizer)
    except UserError:  # no chat template, or one that is not valid: said when a question is asked
        variables = set()
    return {
        "key": loaded.key,
        "title": loaded.title,
        "context_length": loaded.context_length,
        "system_prompt": loaded.config.system_prompt or "",
        "language": loaded.config.language,
        "description": model_description(loaded.name, loaded.config.description),
        "remote": loaded.is_remote,
        "thinking": "enable_thinking" in variables,
        "effort": "reasoning_effort" in variables,
        "tools": "tools" in variables,
        "picture_tokens": loaded.picture_tokens,
    }
