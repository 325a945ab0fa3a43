"""Ports for servers that tests start."""

import contextlib
import random
import socket

# Below those that systems give to outgoing connections, so that none of these takes a port before the server has it.
PORTS = range(20_000, 30_000)


def free_port() -> int:
    while True:
        port = random.SystemRandom().choice(PORTS)  # several processes of tests, which may set a seed
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
