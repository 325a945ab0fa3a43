"""Real servers in processes of their own, good ones and bad ones."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from llm_chatbot.errors import UserError
from llm_chatbot.tools.calls import Calls
from llm_chatbot.tools.configuration import HTTPServer, ProgramServer
from llm_chatbot.tools.server import Limits
from llm_chatbot.tools.servers import ToolServers
from llm_chatbot.tools.tool import ToolResult
from tests.mcp_servers import CONTROL_TOKENS, program, served_over_http
from tests.ports import free_port

LIMITS = Limits(start=60, call=60)  # for a machine that is busy


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return met


@pytest.fixture(scope="module")
def servers() -> Iterator[ToolServers]:
    servers = ToolServers([program("notes", env={"NOTES_KEY": "key 1"})], LIMITS)
    yield servers
    servers.close()


def call(servers: ToolServers, tool: str, server: str = "notes", **arguments: object) -> ToolResult:
    return servers.call(server, tool, arguments).result(60)


def key_of(servers: ToolServers, tool: str, server: str = "notes", **arguments: object) -> str:
    with pytest.raises(UserError) as raised:
        call(servers, tool, server, **arguments)
    return raised.value.key


def test_a_server_starts_when_it_is_needed_and_lists_its_tools(servers: ToolServers):
    tool = servers.find("notes", "add")
    assert tool.description == "Adds two numbers." and tool.parameters["required"] == ["a", "b"]
    assert servers.states()[0].state == "running"
    with pytest.raises(UserError, match="notes has no tool subtract any more"):
        servers.find("notes", "subtract")
    with pytest.raises(UserError, match="No MCP server is called other any more"):
        servers.find("other", "add")


def test_a_call_gives_its_text_and_errors_of_the_tool_are_results(servers: ToolServers):
    assert call(servers, "add", a=2, b=3) == ToolResult("5")
    failed = call(servers, "fail")
    assert failed.is_error and "There is no such note." in failed.text
    assert call(servers, "subtract").is_error


def test_tools_that_a_server_has_later_are_listed_again(servers: ToolServers):
    with pytest.raises(UserError, match="notes has no tool learned any more"):
        servers.find("notes", "learned")
    call(servers, "learn")
    assert eventually(lambda: "learned" in [tool.name for tool in servers.states()[0].tools])
    assert call(servers, "learned") == ToolResult("new")


def test_tools_of_a_server_with_an_earlier_protocol_are_listed_again():
    servers = ToolServers([program("earlier", "earlier")], LIMITS)
    assert servers.find("earlier", "learn").name == "learn"
    assert call(servers, "learn", "earlier") == ToolResult("learned")
    assert eventually(lambda: "learned" in [tool.name for tool in servers.states()[0].tools])
    servers.close()


def test_a_server_gets_its_own_variables_and_not_those_of_the_page(
    servers: ToolServers, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LLM_CHATBOT_AUTH", "user:secret")
    servers.restart("notes")
    assert call(servers, "knows").text == "key 1 no secret"


def test_a_result_may_be_huge_and_hold_anything(servers: ToolServers):
    assert len(call(servers, "huge", characters=2_000_000).text) == 2_000_000
    assert call(servers, "say", text=CONTROL_TOKENS).text == CONTROL_TOKENS


def test_what_is_no_json_beside_a_result_harms_nothing(servers: ToolServers, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.CRITICAL, "mcp")
    assert call(servers, "malformed") == ToolResult("after all")


def test_a_server_that_dies_in_a_call_starts_again_with_the_next(servers: ToolServers):
    assert key_of(servers, "die") == "tools.call_ended"
    assert call(servers, "add", a=1, b=1).text == "2"


def test_a_call_that_is_stopped_stops_in_the_server(servers: ToolServers, tmp_path: Path):
    calls, file = Calls(servers), tmp_path / "end"
    pending = calls.ask("a", ("notes", "slow"), {"file": str(file)}, lambda result: result)
    assert calls.ask("a", ("notes", "slow"), {}, lambda result: result) is pending
    time.sleep(0.3)
    assert pending.ended is None and calls.stop("a")
    assert eventually(lambda: pending.ended is not None) and pending.stopped and pending.version == 1
    assert eventually(file.exists)
    assert not calls.stop("a") and not calls.stop("b")


def test_a_call_that_takes_too_long_is_stopped(tmp_path: Path):
    servers = ToolServers([program("notes")], Limits(start=60, call=0.3))
    try:
        assert key_of(servers, "slow", file=str(tmp_path / "end")) == "tools.call_timeout"
        assert eventually((tmp_path / "end").exists)
    finally:
        servers.close()


def test_each_server_that_fails_has_a_sentence_and_others_work():
    nowhere = HTTPServer("nowhere", f"http://127.0.0.1:{free_port()}/mcp")
    bad = [ProgramServer("missing", "no-such-program"), program("broken", "broken"), nowhere]
    servers = ToolServers([*bad, program("notes")], LIMITS)
    try:
        servers.begin()
        assert call(servers, "add", a=2, b=2).text == "4"
        assert eventually(lambda: all(one.state == "failed" for one in servers.states()[:3]))
        said = [str(state.error) for state in servers.states()[:3]]
        assert "there is no program no-such-program" in said[0]
        assert said[1].endswith("The key of this server is missing.")
        assert said[2].startswith(f"nowhere can't be reached at {nowhere.url}")
        assert key_of(servers, "add", "missing") == "tools.no_program"
    finally:
        servers.close()


def test_a_server_that_says_nothing_is_given_up_and_ended_while_it_starts():
    servers = ToolServers([program("silent", "silent")], Limits(start=0.5))
    try:
        with pytest.raises(UserError, match="was ended while it was starting"):
            servers.find("silent", "add", lambda: True)
        assert key_of(servers, "add", "silent") == "tools.start_timeout"
        future = servers.call("silent", "add", {})
        time.sleep(0.1)
        servers.restart("silent")
        with pytest.raises((UserError, CancelledError), match="ended while it was starting"):
            future.result(60)
    finally:
        servers.close()
    assert eventually(lambda: servers.states()[0].state == "idle")


def test_a_server_over_http_is_called_and_its_end_is_a_sentence():
    with served_over_http("web") as (config, process):
        servers = ToolServers([config], LIMITS)
        try:
            assert call(servers, "add", "web", a=2, b=3).text == "5"
            assert key_of(servers, "die", "web") in ("tools.call_ended", "tools.call_failed")
            process.wait(60)
            assert key_of(servers, "add", "web", a=1, b=1).startswith("tools.")
        finally:
            servers.close()
