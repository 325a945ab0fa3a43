"""The tools of the page: which ones whoever asks may use, what a model is offered of them, and the calls."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_chatbot.answering.grammar import answer_grammar
from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.passages import ASSUMED_CONTEXT
from llm_chatbot.answering.question import Question
from llm_chatbot.api.checks import schema_validator
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.requests import function_tool
from llm_chatbot.api.tools import as_arguments, forced_calls
from llm_chatbot.catalogue.tool_formats import tool_format
from llm_chatbot.engine.text.control_tokens import plain_ids, well_formed
from llm_chatbot.errors import UserError
from llm_chatbot.folder.chat_templates import only_one, template_for
from llm_chatbot.machine.json_value import json_value
from llm_chatbot.texts import Text
from llm_chatbot.tools.calls import Calls, PendingCall
from llm_chatbot.tools.configuration import read_servers, tool_key
from llm_chatbot.tools.offers import CallableTool, Offer, ToolKey, named
from llm_chatbot.tools.servers import ServerState, ToolServers
from llm_chatbot.tools.tool import ServerTool, ToolResult

# The most that a model is given of a result: a part of its context, and so many characters.
SHARE, MAX_CHARACTERS = 0.25, 100_000

# Errors of which the list of tools says no more.
GONE = {"tools.no_server", "tools.no_tool"}

Reader = Callable[[], LoadedModel]

# What a model reads in place of the rest.
REST_LEFT_OUT = "\n\n[{count} more characters left out]"


class PageTools:
    """
    Args:
        servers: have the tools.
        for_visitors: the tools that people at other machines may use.

    Attributes:
        calls: those that were allowed.
    """

    def __init__(self, servers: ToolServers, for_visitors: Collection[ToolKey] = ()) -> None:
        self.servers, self._for_visitors = servers, frozenset(for_visitors)
        self.calls = Calls(servers)

    def close(self) -> None:
        self.servers.close()

    def are_for(self, is_visitor: bool) -> bool:
        """Whether there are any tools for whoever asks."""
        return bool(self._for_visitors if is_visitor else self.servers.names)

    def allowed(self, keys: Sequence[ToolKey], is_visitor: bool) -> list[ToolKey]:
        """Those of the tools that whoever asks may use."""
        return [key for key in keys if not is_visitor or key in self._for_visitors]

    def described(self, is_visitor: bool) -> list[dict[str, Any]]:
        """The servers for the browser. Those that were never needed begin to start."""
        self.servers.begin()
        named = {server for server, _ in self._for_visitors}
        return [
            self._described(state, is_visitor)
            for state in self.servers.states()
            if not is_visitor or state.name in named
        ]

    def restart(self, name: str, is_visitor: bool) -> None:
        """Begins to start a server again. A visitor ends none that runs.

        Raises:
            UserError: whoever asks knows no such server.
        """
        states = {server["name"]: server["state"] for server in self.described(is_visitor)}
        if name not in states:
            raise UserError("tools.no_server", server=name)
        if not is_visitor or states[name] == "failed":
            self.servers.restart(name)

    def _described(self, state: ServerState, is_visitor: bool) -> dict[str, Any]:
        tools = [tool for tool in state.tools if self.allowed([_key(tool)], is_visitor)]
        return {
            "name": state.name,
            "state": "starting" if state.state == "idle" else state.state,
            "tools": [{"name": tool.name, "description": tool.description} for tool in tools],
            "error": _for(state, is_visitor).as_json() if state.error else None,
        }

    def call(self, id: str, key: ToolKey, arguments: str, reader: Reader, is_visitor: bool) -> PendingCall:
        """Begins a call that was allowed, once for each id.

        Args:
            arguments: as they were shown.
            reader: gives the model that reads the result; may take long.

        Raises:
            UserError: it is not for whoever asks, the arguments are no object, or the call can't begin.
        """
        if not self.allowed([key], is_visitor):
            raise UserError("tools.not_for_visitors", server=key[0], tool=key[1])
        try:
            values = json_value(arguments)
        except ValueError as error:
            raise UserError("tools.arguments") from error
        if not isinstance(values, dict):
            raise UserError("tools.arguments")
        return self.calls.ask(id, key, values, lambda result: shortened(result, reader()))

    def offer(
        self, question: Question, loaded: LoadedModel, is_stopped: Callable[[], bool] = lambda: False
    ) -> tuple[Question, Offer]:
        """The question with the tools that it names, and what they are. Those of a server that fails are left out.

        Args:
            is_stopped: whether nobody waits for the answer any more.

        Raises:
            UserError: the tool that has to be called is not there, or has no valid description.
        """
        tools: list[ServerTool] = []
        faults: dict[str, Text] = {}  # by server
        for key in question.tools:
            try:
                tools.append(self.servers.find(*key, is_stopped))
            except UserError as error:
                fault = error if error.key in GONE else UserError("tools.unavailable", server=key[0])
                if key == question.forced_tool:
                    raise fault from error
                faults[key[0]] = fault
        offered = named(tools)
        functions = [function_tool(one.function, one.tool.description, one.tool.parameters) for one in offered]
        options = {**question.template_options, "tools": functions} if functions else question.template_options
        forced = next((one for one in offered if _key(one.tool) == question.forced_tool), None)
        grammar = None if forced is None else forced_grammar(forced, loaded)
        asked = replace(question, template_options=options, grammar=grammar)
        return asked, Offer(offered, list(faults.values()))


def _for(state: ServerState, is_visitor: bool) -> Text:
    """Why a server failed; what a visitor has no business to know of it is left out."""
    return UserError("tools.unavailable", server=state.name) if is_visitor or not state.error else state.error


def page_tools(path: Path, visitors: Sequence[str] = ()) -> PageTools:
    """The tools of the servers that a file names.

    Args:
        visitors: those that people at other machines may use, each as SERVER/TOOL.

    Raises:
        UserError: the file or one of the names has another form.
    """
    servers = ToolServers(read_servers(path))
    return PageTools(servers, [tool_key(name, servers.names) for name in visitors])


def format_of_calls(loaded: LoadedModel) -> str:
    """How a model writes calls, one of `llm_chatbot.catalogue.tool_formats.TOOL_FORMATS`."""
    return tool_format(template_for(only_one(loaded.tokenizer.chat_template), tools=True))


def forced_grammar(offered: CallableTool, loaded: LoadedModel) -> str:
    """The grammar of an answer that calls a tool.

    Raises:
        UserError: the tool's schema is not valid.
    """
    tool = offered.tool
    try:
        schema_validator(as_arguments(tool.parameters), "tools")
    except APIError as error:
        reason = error.values.get("reason", str(error))
        raise UserError("tools.schema", server=tool.server, tool=tool.name, reason=reason) from error
    return answer_grammar(forced_calls(format_of_calls(loaded), [(offered.function, tool.parameters)])).text


def shortened(result: ToolResult, loaded: LoadedModel) -> ToolResult:
    """A result as long as a model may be given it; the rest is said to be missing."""
    whole = well_formed(result.text)
    kept, room = whole[:MAX_CHARACTERS], int(SHARE * (loaded.context_length or ASSUMED_CONTEXT))
    while (tokens := len(plain_ids(loaded.tokenizer, kept))) > room:
        kept = kept[: int(0.95 * len(kept) * room / tokens)]
    left_out = len(whole) - len(kept)
    return replace(result, text=kept + REST_LEFT_OUT.format(count=left_out) if left_out else kept, left_out=left_out)


def _key(tool: ServerTool) -> ToolKey:
    return tool.server, tool.name
