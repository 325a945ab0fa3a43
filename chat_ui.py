"""The chat page, from Python with `make_demo` and from a shell: `python chat_ui.py --help`."""

import argparse
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config import DEFAULT_MODEL, UserError, get_model_config
from model_folder import SUBFOLDERS, converted_folder

if TYPE_CHECKING:
    import gradio as gr

AUTH_VARIABLE = "LLM_CHATBOT_AUTH"
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


def make_demo(*args: Any, **options: Any) -> "gr.Blocks":
    """The page, to be launched like any other of Gradio's. The arguments are those of `page.app.make_demo`."""
    from page import app  # here, because it takes seconds: what is wrong in a shell should be said at once

    return app.make_demo(*args, **options)


def main() -> int:
    arguments = parser().parse_args()
    try:
        check(arguments)
        from page.tabs import open_model

        loaded = open_model(arguments.model, arguments.precision, arguments.device, arguments.output)
        demo = make_demo(
            loaded.model, loaded.tokenizer, loaded.config, loaded.title, arguments.output, arguments.max_concurrent
        )
        demo.launch(
            server_name=arguments.host,
            server_port=arguments.port,
            auth=credentials(arguments.auth),
            root_path=arguments.root_path,
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Chat with a converted model in a browser.")
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"a model of the catalogue (default: {DEFAULT_MODEL})")
    parser.add_argument("--precision", default="INT4", help=f"one of: {', '.join(SUBFOLDERS)} (default: INT4)")
    parser.add_argument("--device", default="CPU", help="CPU, GPU, AUTO … (default: CPU)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default: 7860)")
    parser.add_argument("--output", type=Path, default=Path("."), help="folder of the converted models (default: .)")
    parser.add_argument(
        "--auth",
        default=os.environ.get(AUTH_VARIABLE),
        metavar="USER:PASSWORD",
        help=f"ask for a password; better in the environment as {AUTH_VARIABLE}, where other users can't read it",
    )
    parser.add_argument("--root-path", help="the page's path behind a proxy, as in /chat")
    parser.add_argument("--max-concurrent", type=int, default=2, help="answers at once; others wait (default: 2)")
    return parser


def check(arguments: argparse.Namespace) -> None:
    """Says what is wrong with the arguments before anything heavy is imported; warns of an open page.

    Raises:
        UserError: something is.
    """
    get_model_config(arguments.model)
    converted_folder(arguments.model, arguments.precision, arguments.output)
    check_port(arguments.host, arguments.port)
    if arguments.max_concurrent < 1:
        raise UserError(f"--max-concurrent is at least 1, not {arguments.max_concurrent}.")
    if credentials(arguments.auth) is None and arguments.host not in LOCAL_HOSTS:
        print(f"Anyone who can reach {arguments.host} can use this page; --auth asks for a password.", file=sys.stderr)


def check_port(host: str, port: int) -> None:
    """Raises a `UserError` where nothing can listen there."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"Port {port} of {host} is taken or can't be used; choose another with --port.") from error


def credentials(auth: str | None) -> tuple[str, str] | None:
    """The user and the password of `USER:PASSWORD`; None without any.

    Raises:
        UserError: it has another form.
    """
    if not auth:
        return None
    user, _, password = auth.partition(":")
    if not user or not password:
        raise UserError(f"--auth or {AUTH_VARIABLE} is written USER:PASSWORD, and neither part is empty.")
    return user, password


if __name__ == "__main__":
    sys.exit(main())
