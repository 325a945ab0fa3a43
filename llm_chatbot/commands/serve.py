"""A converted model as a service with OpenAI's API: `llm-chatbot serve --help`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from llm_chatbot.answering.limits import MAX_TOKENS
from llm_chatbot.api.address import LOCAL_HOSTS, check_port
from llm_chatbot.api.keys import KEYS_VARIABLE, read_keys
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.commands.options import (
    Caller,
    Parser,
    add_access_options,
    add_address_options,
    add_model_options,
    add_queue_options,
    check_at_least,
    interrupt_on_sigterm,
    memory_options,
    prepare,
    set_log_level,
)
from llm_chatbot.errors import UserError

CALLER = Caller("python -m llm_chatbot.commands.serve")


def main(argv: Sequence[str] | None = None, caller: Caller = CALLER) -> int:
    try:
        arguments = parser(caller).parse_args(argv)
        set_log_level(arguments.log_level)
        check_service(arguments, caller)
        prepare(arguments, caller)
        serve(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def parser(caller: Caller = CALLER) -> Parser:
    parser = Parser(caller, "Serve a model with OpenAI's API.")
    add_model_options(parser, caller)
    add_address_options(parser, 8000)
    parser.add_argument("--api-keys", type=Path, help=f"file with one API key a line (default: {KEYS_VARIABLE})")
    add_access_options(parser)
    add_queue_options(parser)
    parser.add_argument(
        "--max-tokens", type=int, default=MAX_TOKENS, help=f"most tokens of one answer (default: {MAX_TOKENS})"
    )
    return parser


def check_service(arguments: argparse.Namespace, caller: Caller = CALLER) -> None:
    """Checks the arguments before anything slow is imported. Warns if anybody on the network may ask.

    Raises:
        UserError: an argument is wrong.
    """
    get_model_config(arguments.model)
    if not caller.converts:
        prepare(arguments, caller)
    check_port(arguments.host, arguments.port)
    check_at_least(arguments, max_concurrent=1, max_waiting=0, max_tokens=1)
    if not read_keys(arguments.api_keys) and arguments.host not in LOCAL_HOSTS:
        print(
            f"Anyone who can reach {arguments.host} can use this model; require a key with --api-keys.", file=sys.stderr
        )


def serve(arguments: argparse.Namespace) -> None:
    """Serves until Ctrl+C or SIGTERM, which end what is being generated with an error."""
    import uvicorn

    from llm_chatbot.answering.model_files import model_files
    from llm_chatbot.answering.models import LoadedModel
    from llm_chatbot.answering.served import LocalModel
    from llm_chatbot.answering.service import Answering
    from llm_chatbot.api.service import allowed_names, create_app
    from llm_chatbot.engine.loading import open_model

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(f"API: http://{arguments.host}:{arguments.port}/v1", flush=True)

        async def shutdown(self, sockets: Any = None) -> None:
            # Before the connections are closed: uvicorn waits for their responses.
            await asyncio.gather(asyncio.to_thread(answering.close), super().shutdown(sockets))

    name = arguments.model
    files = model_files(name, arguments.precision, arguments.output)
    model = open_model(files, arguments.device, **memory_options(arguments))
    loaded = LoadedModel(
        model, files.tokenizer, get_model_config(name), name, arguments.precision, arguments.device, label=files.label
    )
    answering = Answering(lambda key: loaded, arguments.max_concurrent, arguments.max_waiting)
    keys = read_keys(arguments.api_keys)
    served = LocalModel(answering, loaded, max_tokens=arguments.max_tokens)
    names = allowed_names(arguments.host, keys, arguments.allowed_host)
    app = create_app({loaded.served_name: served}, keys, names, arguments.cors_origin)
    config = uvicorn.Config(
        app, arguments.host, arguments.port, log_level="warning", access_log=False, timeout_graceful_shutdown=5
    )
    interrupt_on_sigterm()
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again after an orderly end
        Server(config).run()


if __name__ == "__main__":
    sys.exit(main())
