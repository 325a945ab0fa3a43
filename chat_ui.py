"""The chat page, from Python with `make_demo` and from a shell: `python chat_ui.py --help`."""

import argparse
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from command_line import Parser
from config import DEFAULT_MODEL, UserError, get_model_config
from model_folder import SUBFOLDERS, converted_folder

if TYPE_CHECKING:
    import gradio as gr

AUTH_VARIABLE = "LLM_CHATBOT_AUTH"
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


def make_demo(*args: Any, **options: Any) -> "gr.Blocks":
    """Makes the page; its `launch()` starts it. The arguments are those of `page.app.make_demo`."""
    from page import app  # not at the top, because it takes seconds: wrong arguments are reported first

    return app.make_demo(*args, **options)


def main() -> int:
    try:
        arguments = parser().parse_args()
        check(arguments)
        from page.models import open_model

        model = (arguments.model, arguments.precision, arguments.device, arguments.output, arguments.kv_cache_gb)
        with ThreadPoolExecutor(max_workers=1) as thread:
            opening = thread.submit(open_model, *model)
            from page.app import ChatPage  # meanwhile: Gradio's import takes as long as compiling a small model

            loaded = opening.result()
        page = ChatPage(loaded, arguments.output, arguments.max_concurrent, kv_cache_gb=arguments.kv_cache_gb)
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


def parser() -> Parser:
    parser = Parser(description="Chat with a converted model in a browser.")
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"name of the model (default: {DEFAULT_MODEL})")
    parser.add_argument("--precision", default="INT4", help=f"one of: {', '.join(SUBFOLDERS)} (default: INT4)")
    parser.add_argument("--device", default="CPU", help="where the model runs, such as CPU, GPU or AUTO (default: CPU)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default: 7860)")
    parser.add_argument("--output", type=Path, default=Path("."), help="folder of the converted models (default: .)")
    parser.add_argument(
        "--auth",
        default=os.environ.get(AUTH_VARIABLE),
        metavar="USER:PASSWORD",
        help=f"require a login; {AUTH_VARIABLE} in the environment does the same and hides it from other users",
    )
    parser.add_argument("--root-path", help="path of the page behind a reverse proxy, such as /chat")
    parser.add_argument("--max-concurrent", type=int, default=8, help="answers at a time; others wait (default: 8)")
    parser.add_argument(
        "--kv-cache-gb",
        type=float,
        help="memory for the keys and values of all conversations (default: by what is free)",
    )
    return parser


def check(arguments: argparse.Namespace) -> None:
    """Checks the arguments before anything slow is imported. Warns if the page is open to the network.

    Raises:
        UserError: an argument is wrong.
    """
    get_model_config(arguments.model)
    if not arguments.output.is_dir():
        raise UserError(
            f"There is no folder {arguments.output}; name the folder of the converted models with --output."
        )
    converted_folder(arguments.model, arguments.precision, arguments.output)
    check_port(arguments.host, arguments.port)
    if arguments.max_concurrent < 1:
        raise UserError(f"--max-concurrent must be at least 1, not {arguments.max_concurrent}.")
    if arguments.kv_cache_gb is not None and arguments.kv_cache_gb <= 0:
        raise UserError(f"--kv-cache-gb must be above 0, not {arguments.kv_cache_gb:g}.")
    from engine.devices import check_device  # after the cheaper checks: it asks the runtime

    check_device(arguments.device)
    if credentials(arguments.auth) is None and arguments.host not in LOCAL_HOSTS:
        print(f"Anyone who can reach {arguments.host} can use this page; require a login with --auth.", file=sys.stderr)


def check_port(host: str, port: int) -> None:
    """Raises a `UserError` if no server can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, 0), family=family).close()  # 0: any port
    except OSError as error:
        raise UserError(
            f"{host} is no address of this machine; choose another with --host, such as 0.0.0.0."
        ) from error
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"Port {port} on {host} is in use or not available; choose another with --port.") from error


def credentials(auth: str | None) -> tuple[str, str] | None:
    """Splits `USER:PASSWORD`; None if there is nothing to split.

    Raises:
        UserError: it has another form.
    """
    if not auth:
        return None
    user, _, password = auth.partition(":")
    if not user or not password:
        raise UserError(f"--auth and {AUTH_VARIABLE} take USER:PASSWORD, and neither part may be empty.")
    return user, password


if __name__ == "__main__":
    sys.exit(main())
