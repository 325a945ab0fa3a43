"""Who asks: people at this machine, or visitors from elsewhere."""

import ipaddress

from starlette.requests import Request

from llm_chatbot.api.address import LOCAL_HOSTS
from llm_chatbot.api.middleware import host_name

# What proxies add. Behind one, everybody seems to be at this machine.
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
NAMES_HERE = {*LOCAL_HOSTS, "[::1]"}


def is_visitor(request: Request) -> bool:
    """Whether a request may come from another machine, or from a page of another site or port in a browser here."""
    if request.scope.get("root_path") or any(name in request.headers for name in FORWARDED):
        return True
    host = request.headers.get("host", "")
    if (origin := request.headers.get("origin")) is not None and origin.partition("://")[2] != host:
        return True
    client = request.client.host if request.client else ""
    return not is_loopback(client) or host_name(host) not in NAMES_HERE


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
