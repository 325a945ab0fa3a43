"""The chat page, from Python with `make_demo` and from a shell: `llm-chatbot chat --help`."""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_chatbot.api.address import LOCAL_HOSTS, check_port
from llm_chatbot.api.keys import read_keys
from llm_chatbot.catalogue.encoders import get_encoder_config
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.commands.options import (
    Caller,
    Parser,
    add_access_options,
    add_address_options,
    add_idle_option,
    add_model_options,
    add_queue_options,
    check_at_least,
    check_idle,
    draft_options,
    idle_seconds,
    interrupt_on_sigterm,
    leave_out_converters,
    memory_options,
    prepare,
    set_log_level,
)
from llm_chatbot.errors import UserError
from llm_chatbot.machine.deferred_import import defer_import, leave_out
from llm_chatbot.tools.configuration import read_servers, tool_key

if TYPE_CHECKING:
    import gradio as gr
    from starlette.middleware import Middleware

    from llm_chatbot.answering.models import LoadedModel
    from llm_chatbot.page.app import ChatPage

CALLER = Caller("python chat_ui.py")
AUTH_VARIABLE = "LLM_CHATBOT_AUTH"


def make_demo(*args: Any, **options: Any) -> "gr.Blocks":
    """Makes the page; its `launch()` starts it. The arguments are those of `llm_chatbot.page.app.make_demo`."""
    from llm_chatbot.page import app  # not at the top, because it takes seconds: wrong arguments are reported first

    return app.make_demo(*args, **options)


def main(argv: Sequence[str] | None = None, caller: Caller = CALLER) -> int:
    try:
        arguments = parser(caller).parse_args(argv)
        set_log_level(arguments.log_level)
        check_page(arguments, caller)
        settle_cache(arguments)
        if not arguments.base_url:
            prepare(arguments, caller)
        leave_out_converters()
        leave_out_parts_of_gradio()
        loaded = first_model(arguments)
        from llm_chatbot.page.app import ChatPage, tools_of_file
        from llm_chatbot.page.knowledge import PageKnowledge

        # Collections hold texts of this machine, and uploads fill its disk.
        has_knowledge = may_get_models(arguments)
        knowledge = PageKnowledge(is_own_page(arguments), reranker=arguments.rerank) if has_knowledge else None
        page = ChatPage(
            loaded,
            None if arguments.base_url else arguments.output,
            arguments.max_concurrent,
            arguments.max_waiting,
            idle=idle_seconds(arguments),
            get_models=may_get_models(arguments),
            knowledge=knowledge,
            tools=tools_of_file(arguments.mcp, arguments.mcp_for_visitors) if arguments.mcp else None,
            **memory_options(arguments),
        )
        page.demo.middleware = api_middleware(page, arguments)
        interrupt_on_sigterm()
        page.demo.launch(
            server_name=arguments.host,
            server_port=arguments.port,
            auth=credentials(arguments.auth),
            root_path=arguments.root_path,
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def leave_out_parts_of_gradio() -> None:
    """Leaves out what Gradio imports for features that the page hasn't: 95 MB."""
    defer_import("pandas")
    leave_out("IPython", "matplotlib")


def first_model(arguments: argparse.Namespace) -> "LoadedModel":
    """The model that the page begins with: one that was converted here, or one of another server."""
    if arguments.base_url:
        from llm_chatbot.answering.other_servers import open_remote

        return open_remote(arguments.base_url, arguments.model)
    from llm_chatbot.answering.models import open_loaded_model

    model = (arguments.model, arguments.precision, arguments.device, arguments.output)
    with ThreadPoolExecutor(max_workers=1) as thread:
        options = {**memory_options(arguments), **draft_options(arguments)}
        opening = thread.submit(open_loaded_model, *model, mmproj=arguments.mmproj, **options)
        import llm_chatbot.page.app  # noqa: F401, meanwhile: Gradio's import takes as long as compiling a small model

        return opening.result()


def api_middleware(page: "ChatPage", arguments: argparse.Namespace) -> "list[Middleware]":
    """Serves OpenAI's API beside the page, from the same queue; behind a login only if there are API keys too."""
    keys = read_keys()
    if arguments.base_url or (arguments.auth and not keys):
        return []
    from starlette.middleware import Middleware

    from llm_chatbot.answering.served import LocalModel
    from llm_chatbot.api.service import APIPaths, allowed_names, create_app

    model = LocalModel(page.answering, page.loaded)
    names = allowed_names(arguments.host, keys, arguments.allowed_host)
    api = create_app({page.loaded.served_name: model}, keys, names, arguments.cors_origin)
    return [Middleware(APIPaths, api=api)]


def parser(caller: Caller = CALLER) -> Parser:
    parser = Parser(caller, "Chat with a model in a browser.")
    add_model_options(parser, caller)
    add_address_options(parser, 7860)
    parser.add_argument(
        "--auth",
        default=os.environ.get(AUTH_VARIABLE),
        metavar="USER:PASSWORD",
        help=f"require a login; {AUTH_VARIABLE} in the environment does the same and hides it from other users",
    )
    parser.add_argument(
        "--base-url", help="address of a server with OpenAI's API that has the model, in place of a folder"
    )
    parser.add_argument("--root-path", help="path of the page behind a reverse proxy, such as /chat")
    parser.add_argument(
        "--mcp",
        type=Path,
        metavar="FILE",
        help='names the MCP servers whose tools may be called, each call once it is allowed: {"mcpServers": {…}}',
    )
    parser.add_argument(
        "--mcp-for-visitors",
        action="append",
        default=[],
        metavar="SERVER/TOOL",
        help="tool that people at other machines may use too; may be given more than once",
    )
    parser.add_argument(
        "--rerank",
        metavar="NAME",
        help="cross-encoder that orders the best passages of collections: a folder or a repository of the Hub",
    )
    add_access_options(parser)
    add_queue_options(parser)
    add_idle_option(parser)
    return parser


def is_own_page(arguments: argparse.Namespace) -> bool:
    """Whether only people at this machine reach the page. Behind a reverse proxy, everybody seems to be at it."""
    return arguments.host in LOCAL_HOSTS and not arguments.root_path


def settle_cache(arguments: argparse.Namespace) -> None:
    """Chooses whether what was read is kept on the disk, where the user doesn't say: other people's texts are not."""
    if arguments.cache_on_disk is None:
        arguments.cache_on_disk = is_own_page(arguments) and not credentials(arguments.auth)


def may_get_models(arguments: argparse.Namespace) -> bool:
    """Whether the page downloads and converts models, which takes this machine's disk and time.

    It does for people at this machine and for those who log in.
    """
    return is_own_page(arguments) or credentials(arguments.auth) is not None


def check_page(arguments: argparse.Namespace, caller: Caller = CALLER) -> None:
    """Checks the arguments before anything slow is imported. Warns if the page is open to the network.

    Raises:
        UserError: an argument is wrong.
    """
    if not arguments.base_url:
        get_model_config(arguments.model)
        if not caller.converts:
            prepare(arguments, caller)
    check_tools(arguments)
    if arguments.rerank:
        get_encoder_config(arguments.rerank)
    check_port(arguments.host, arguments.port)
    check_at_least(arguments, max_concurrent=1, max_waiting=0)
    check_idle(arguments)
    if not arguments.base_url:
        from llm_chatbot.engine.devices import check_device  # after the cheaper checks: it asks the runtime

        check_device(arguments.device)
    if credentials(arguments.auth) is None and arguments.host not in LOCAL_HOSTS:
        print(f"Anyone who can reach {arguments.host} can use this page; require a login with --auth.", file=sys.stderr)


def check_tools(arguments: argparse.Namespace) -> None:
    """Raises a `UserError` if the file of the MCP servers, or what is said of them, is wrong."""
    if arguments.mcp is None:
        if arguments.mcp_for_visitors:
            raise UserError("command.mcp_visitors_alone")
        return
    if arguments.base_url:
        raise UserError("command.mcp_remote")
    names = [server.name for server in read_servers(arguments.mcp)]
    for tool in arguments.mcp_for_visitors:
        tool_key(tool, names)


def credentials(auth: str | None) -> tuple[str, str] | None:
    """Splits `USER:PASSWORD`; None if there is nothing to split.

    Raises:
        UserError: it has another form.
    """
    if not auth:
        return None
    user, _, password = auth.partition(":")
    if not user or not password:
        raise UserError("command.auth", variable=AUTH_VARIABLE)
    return user, password


if __name__ == "__main__":
    sys.exit(main())
