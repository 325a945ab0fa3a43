"""A converted model as a service with OpenAI's API: `llm-chatbot serve --help`."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from llm_chatbot.api.address import LOCAL_HOSTS, check_port
from llm_chatbot.api.keys import KEYS_VARIABLE, read_keys
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.commands.options import Caller, Parser, add_address_options, add_model_options, converted
from llm_chatbot.errors import UserError

CALLER = Caller("python -m llm_chatbot.commands.serve")


def main(argv: Sequence[str] | None = None, caller: Caller = CALLER) -> int:
    try:
        arguments = parser(caller).parse_args(argv)
        check(arguments, caller)
        serve(arguments, converted(arguments, caller))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def parser(caller: Caller = CALLER) -> Parser:
    parser = Parser(caller, "Serve a model with OpenAI's API.")
    add_model_options(parser, caller)
    add_address_options(parser, 8000)
    parser.add_argument("--api-keys", type=Path, help=f"file with one API key a line (default: {KEYS_VARIABLE})")
    parser.add_argument("--max-concurrent", type=int, default=16, help="answers at a time (default: 16)")
    parser.add_argument("--max-waiting", type=int, default=64, help="requests that may wait for theirs (default: 64)")
    parser.add_argument("--max-tokens", type=int, default=8192, help="most tokens of one answer (default: 8192)")
    return parser


def check(arguments: argparse.Namespace, caller: Caller = CALLER) -> None:
    """Checks the arguments before anything slow is imported. Warns if anybody on the network may ask.

    Raises:
        UserError: an argument is wrong.
    """
    get_model_config(arguments.model)
    if not caller.converts:
        converted(arguments, caller)
    check_port(arguments.host, arguments.port)
    for name, least in {"max_concurrent": 1, "max_waiting": 0, "max_tokens": 1}.items():
        if getattr(arguments, name) < least:
            raise UserError(f"--{name.replace('_', '-')} must be at least {least}, not {getattr(arguments, name)}.")
    if not read_keys(arguments.api_keys) and arguments.host not in LOCAL_HOSTS:
        print(
            f"Anyone who can reach {arguments.host} can use this model; require a key with --api-keys.", file=sys.stderr
        )


def serve(arguments: argparse.Namespace, folder: Path) -> None:
    """Serves until Ctrl+C."""
    import uvicorn

    from llm_chatbot.api.backend import LocalBackend
    from llm_chatbot.api.service import allowed_names, create_app
    from llm_chatbot.engine.loading import open_model
    from llm_chatbot.engine.text.tokenizer import FolderTokenizer

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(f"API: http://{arguments.host}:{arguments.port}/v1", flush=True)

    backend = LocalBackend(
        arguments.model,
        open_model(
            folder,
            arguments.device,
            kv_cache_gb=arguments.kv_cache_gb,
            kv_cache_precision=arguments.kv_cache_precision,
        ),
        FolderTokenizer(folder),
        get_model_config(arguments.model),
        arguments.max_concurrent,
        arguments.max_waiting,
        arguments.max_tokens,
    )
    keys = read_keys(arguments.api_keys)
    app = create_app({arguments.model: backend}, keys, allowed_names(arguments.host, keys))
    config = uvicorn.Config(
        app, arguments.host, arguments.port, log_level="warning", access_log=False, timeout_graceful_shutdown=5
    )
    with suppress(KeyboardInterrupt):  # which uvicorn raises again after an orderly end
        Server(config).run()


if __name__ == "__main__":
    sys.exit(main())
