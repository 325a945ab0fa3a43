"""The address that a server listens on."""

import socket

from llm_chatbot.errors import UserError

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


def check_port(host: str, port: int) -> None:
    """Raises a `UserError` if no server can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, 0), family=family).close()  # 0: any port
    except OSError as error:
        raise UserError("api.no_address", host=host) from error
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        raise UserError("api.port_in_use", port=port, host=host) from error
