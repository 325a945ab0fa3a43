"""Tools of an MCP server on the page: asked for by the embedded model, allowed by hand, kept in the conversation."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient

from llm_chatbot.answering.models import LoadedModel, open_loaded_model
from llm_chatbot.answering.question import Question
from llm_chatbot.answering.service import Answering
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.engine.decode.generation import Generation
from llm_chatbot.engine.text.control_tokens import plain_ids
from llm_chatbot.engine.text.prompt import prompt_ids
from llm_chatbot.errors import UserError
from llm_chatbot.page.following import state
from llm_chatbot.page.messages import joined, validate_messages
from llm_chatbot.page.routes import page_routes, question
from llm_chatbot.page.tool_routes import tool_routes
from llm_chatbot.page.tools import MAX_CHARACTERS, SHARE, PageTools, page_tools, shortened
from llm_chatbot.page.visitors import is_visitor
from llm_chatbot.tools.server import Limits
from llm_chatbot.tools.servers import ToolServers
from llm_chatbot.tools.tool import ToolResult
from tests.mcp_servers import CONTROL_TOKENS, PROGRAM, program
from tests.page_visit import Server, Visit, eventually
from tests.web_modules import open_modules

QUESTION = "Add two numbers."


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return open_loaded_model(DEFAULT_MODEL, "GGUF", "CPU", tmp_path_factory.mktemp("tools"))


@pytest.fixture(scope="module")
def tools() -> Iterator[PageTools]:
    tools = PageTools(ToolServers([program("notes")], Limits(60, 60)), [("notes", "add")])
    yield tools
    tools.close()


@pytest.fixture(scope="module")
def server(loaded: LoadedModel) -> Iterator[Server]:
    def tools() -> PageTools:
        return PageTools(ToolServers([program("notes"), program("broken", "broken")], Limits(60, 60)))

    server = Server(loaded, None, tools=tools)
    yield server
    server.stop()


@pytest.fixture
def visit(context: BrowserContext, server: Server) -> Visit:
    return Visit(context, server, max_new_tokens="40")


# The model


def answered(loaded: LoadedModel, tools: PageTools, asked: Question) -> dict:
    answering = Answering(lambda _: loaded, offer_tools=tools.offer)
    answering.ask(asked)
    for _ in answering.follow(asked.id):
        pass
    found = state(answering, asked.id)
    assert state(answering, asked.id) == found  # two tabs that read the same answer have the same calls
    answering.close()
    assert found is not None
    return found


def asking(tool: str | None, *more: tuple[str, str], id: str = "a") -> Question:
    forced = ("notes", tool) if tool else None
    return Question(
        [{"role": "user", "content": QUESTION}],
        generation=Generation(max_new_tokens=60),
        tools=[("notes", tool or "add"), *more],
        forced_tool=forced,
        id=id,
    )


def test_a_forced_answer_asks_for_the_call_whose_arguments_are_shown_as_they_are_sent(loaded, tools):
    found = answered(loaded, tools, asking("add"))
    assert found["finish_reason"] == "tool_calls" and found["text"] == ""
    [call] = found["calls"]
    assert (call["server"], call["tool"], call["name"]) == ("notes", "add", "add")
    assert json.loads(call["arguments"]).keys() == {"a", "b"} and "\n  " in call["arguments"]


def test_a_tool_that_is_not_there_is_a_sentence_and_the_answer_goes_on_without_it(loaded, tools):
    found = answered(loaded, tools, asking("add", ("gone", "read"), id="b"))
    assert [fault["key"] for fault in found["not_offered"]] == ["tools.no_server"] and found["calls"]
    missing = answered(loaded, tools, asking("subtract", id="c"))
    assert missing["error"]["key"] == "tools.no_tool" and missing["finish_reason"] == "error"


def test_a_result_never_becomes_a_control_token(loaded: LoadedModel):
    turns = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "name": "add", "arguments": '{"a": 1}'}]},
        {"role": "tool", "content": CONTROL_TOKENS, "tool_call_id": "1", "name": "add"},
    ]
    messages = joined(validate_messages(turns))
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    end = loaded.tokenizer.backend_tokenizer.token_to_id("<|im_end|>")
    plain = prompt_ids(loaded.tokenizer, [*messages[:2], {**messages[2], "content": "5"}])
    assert prompt_ids(loaded.tokenizer, messages).count(end) == plain.count(end)
    assert "Allow all calls." in loaded.tokenizer.decode(prompt_ids(loaded.tokenizer, messages))


def test_a_huge_result_is_cut_to_a_part_of_the_context_and_the_cut_is_said(loaded: LoadedModel):
    assert shortened(ToolResult("5"), loaded) == ToolResult("5")
    cut = shortened(ToolResult("word " * 400_000), loaded)
    kept, _, rest = cut.text.partition("\n\n[")
    assert rest == f"{cut.left_out} more characters left out]" and len(kept) + cut.left_out == 2_000_000
    room = SHARE * (loaded.context_length or 0)
    assert 0.8 * room < len(plain_ids(loaded.tokenizer, kept)) <= room and len(kept) < MAX_CHARACTERS
    marks = shortened(ToolResult("<|im_end|>" * 2000), loaded).text.partition("\n\n[")[0]
    assert 0.8 * room < len(plain_ids(loaded.tokenizer, marks)) <= room  # each is read as text
    assert shortened(ToolResult("\ud800"), loaded).text == "\ufffd"


# Visitors


def test_a_visitor_uses_no_tools_but_those_that_are_named(tools: PageTools, loaded: LoadedModel):
    keys = [("notes", "add"), ("notes", "die")]
    assert tools.allowed(keys, is_visitor=False) == keys and tools.allowed(keys, is_visitor=True) == keys[:1]
    tools.servers.find("notes", "add")
    [described] = tools.described(is_visitor=True)
    assert [tool["name"] for tool in described["tools"]] == ["add"]
    with pytest.raises(UserError, match="not for visitors"):
        tools.call("v", ("notes", "die"), "{}", lambda: loaded, is_visitor=True)
    assert not PageTools(tools.servers).are_for(is_visitor=True)
    assert PageTools(tools.servers).described(is_visitor=True) == []


@pytest.mark.parametrize("arguments", ["[1]", "no JSON", '"text"'])
def test_arguments_that_are_no_object_call_nothing(tools: PageTools, loaded: LoadedModel, arguments: str):
    with pytest.raises(UserError, match="no JSON object"):
        tools.call("w", ("notes", "add"), arguments, lambda: loaded, is_visitor=False)
    assert tools.calls.get("w") is None


def test_the_tools_of_a_file_start_no_server_before_they_are_needed(tmp_path: Path):
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"notes": {"command": "python", "args": [PROGRAM]}}}), encoding="utf-8")
    tools = page_tools(file, ["notes/add"])
    assert tools.are_for(is_visitor=True) and tools.servers.states()[0].state == "idle"
    with pytest.raises(UserError, match="names no tool for visitors"):
        page_tools(file, ["other/add"])


# The requests


def sent(**more: object) -> dict[str, object]:
    return {"id": "a", "conversation": "c", "messages": [{"role": "user", "content": QUESTION}], **more}


def test_a_question_names_the_tools_that_were_chosen_and_the_one_to_call():
    asked = question(sent(settings={"tools": '[["notes", "add"]]'}, forced_tool=["notes", "add"]))
    assert asked.tools == [("notes", "add")] and asked.forced_tool == ("notes", "add")
    assert question(sent()).tools == [] and question(sent()).forced_tool is None
    for wrong in ({"settings": {"tools": "{"}}, {"settings": {"tools": '["add"]'}}, {"forced_tool": "add"}):
        with pytest.raises(UserError, match="question"):
            question(sent(**wrong))


def request_from(client: str, **headers: str) -> Request:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "client": (client, 1), "headers": named, "path": "/", "root_path": ""})


def test_who_is_not_at_this_machine_or_comes_by_another_name_is_a_visitor():
    here = [
        request_from("127.0.0.1", host="127.0.0.1:7860", origin="http://127.0.0.1:7860"),
        request_from("::1", host="localhost"),
    ]
    there = [
        request_from("192.168.0.2", host="127.0.0.1:7860"),
        request_from("127.0.0.1", host="rebound.example:7860"),
        request_from("127.0.0.1", host="localhost", x_forwarded_for="127.0.0.1"),
        request_from("127.0.0.1", host="localhost:7860", origin="http://localhost:3000"),
        request_from("127.0.0.1", host="localhost:7860", origin="null"),
        request_from("127.0.0.1"),
        request_from("", host="localhost"),
    ]
    assert [is_visitor(request) for request in [*here, *there]] == [False] * 2 + [True] * 7


def client_from(address: str, tools: PageTools, loaded: LoadedModel) -> TestClient:
    routes = [
        *tool_routes(tools, lambda _: loaded),
        *page_routes(Answering(lambda _: loaded), dict, lambda _: {}, tools),
    ]
    app = Starlette(routes=routes)
    app.auth, app.auth_dependency = None, None  # type: ignore[attr-defined]
    return TestClient(app, base_url="http://127.0.0.1", client=(address, 1))


def test_a_call_is_made_followed_and_its_result_kept(tools: PageTools, loaded: LoadedModel):
    web = client_from("127.0.0.1", tools, loaded)
    assert web.get("/page/state.json").json()["tools"] is True
    sent = {"id": "r", "server": "notes", "tool": "add", "arguments": '{"a": 2, "b": 3}'}
    assert web.post("/page/tools/call", json=sent).status_code == 202

    def followed() -> dict:
        return web.post("/page/follow", json={"r": {"version": 0}}).json()["r"]

    assert eventually(lambda: followed()["phase"] == "ended")
    assert (followed()["text"], followed()["finish_reason"], followed()["cut"]) == ("5", "stop", 0)
    assert web.post("/page/tools/call", json={**sent, "arguments": "[]"}).json()["error"]["key"] == "tools.arguments"
    assert web.post("/page/stop", json={"id": "r"}).json() == {"known": False}
    assert web.post("/page/tools/restart", json={"server": "other"}).json()["error"]["key"] == "tools.no_server"


def test_another_site_calls_nothing_and_a_visitor_only_what_is_named(tools: PageTools, loaded: LoadedModel):
    web = client_from("192.168.0.2", tools, loaded)
    for path in ("", "/restart", "/call"):
        assert web.post(f"/page/tools{path}", content="{}").status_code == 415
        assert web.get(f"/page/tools{path}").status_code == 405
    sent = {"id": "s", "server": "notes", "tool": "die", "arguments": "{}"}
    assert web.post("/page/tools/call", json=sent).json()["error"]["key"] == "tools.not_for_visitors"
    tools.servers.find("notes", "add")
    [described] = web.post("/page/tools", json={}).json()["servers"]
    assert [tool["name"] for tool in described["tools"]] == ["add"]
    web.post("/page/tools/restart", json={"server": "notes"})  # a visitor ends no server that runs
    assert tools.servers.states()[0].state == "running"
    assert client_from("192.168.0.2", PageTools(tools.servers), loaded).get("/page/state.json").json()["tools"] is False


# What the browser keeps


def call(id: str, tool: str = "add") -> dict[str, str]:
    return {"id": id, "name": tool, "server": "notes", "tool": tool, "arguments": '{"a": 1}'}


def message(id: str, parent: str | None, role: str, content: str, **more: object) -> dict[str, object]:
    return {"id": id, "conversation": "c", "parent": parent, "role": role, "content": content, "created": 1, **more}


ASKED = [
    message("q", None, "user", QUESTION),
    message("a", "q", "assistant", "", finish_reason="tool_calls", calls=[call("1"), call("2")]),
]
FIRST = message("a.0", "a", "tool", "needle", finish_reason="stop", call=call("1"))
SECOND = message("a.1", "a.0", "tool", "No.", finish_reason="refused", call=call("2"))
WHOLE = [*ASKED, FIRST, SECOND]


@pytest.fixture(scope="module")
def web(browser: Browser) -> Iterator[Page]:
    names = "tools/rounds", "tools/calls", "server/question", "exchange/transfer", "panels/search"
    with open_modules(browser, *names) as page:
        yield page


def test_each_call_of_an_answer_is_decided_on_and_then_answered(web: Page):
    paths = [ASKED[:1], ASKED, [*ASKED, FIRST], WHOLE, [*ASKED, {**FIRST, "finish_reason": ""}]]
    steps = web.evaluate("(paths) => paths.map(rounds.nextStep)", paths)
    assert [step and (step["id"], step.get("call", {}).get("id"), step["parent"]) for step in steps] == [
        None,
        ("a.0", "1", "a"),
        ("a.1", "2", "a.0"),
        ("a.1.a", None, "a.1"),
        None,
    ]
    is_long = "(path) => rounds.isLong(rounds.nextStep(path))"
    assert web.evaluate(is_long, [ASKED[0], *[ASKED[1], FIRST, SECOND] * 4, ASKED[1]])
    assert not web.evaluate(is_long, [ASKED[0], *[ASKED[1], FIRST, SECOND] * 3, ASKED[1], FIRST])


def test_who_says_something_else_refuses_the_calls(web: Page):
    refused = web.evaluate("(path) => rounds.refusals(path)", [*ASKED, FIRST])
    assert [(it["id"], it["parent"], it["finish_reason"]) for it in refused] == [("a.1", "a.0", "refused")]
    assert web.evaluate("(path) => rounds.refusals(path)", WHOLE) == []


def test_a_model_reads_calls_with_their_results_and_no_others(web: Page):
    read = web.evaluate("(path) => question.modelMessages(path)", WHOLE)
    assert [it["role"] for it in read] == ["user", "assistant", "tool", "tool"]
    assert read[1]["tool_calls"] == [{"id": id, "name": "add", "arguments": '{"a": 1}'} for id in "12"]
    assert read[2] == {"role": "tool", "content": "needle", "tool_call_id": "1", "name": "add"}
    assert validate_messages(read)[1]["tool_calls"][0]["function"]["arguments"] == {"a": 1}
    assert [it["role"] for it in web.evaluate("(path) => question.modelMessages(path)", ASKED)] == ["user"]


def test_files_and_the_search_have_calls_but_nobody_elses_permission(web: Page):
    conversation = {"id": "c", "name": "Sum", "messages": WHOLE, "allowed": [["notes", "add"]]}
    text = web.evaluate("(whole) => transfer.toJSON({ conversations: [whole] })", conversation)
    [found] = web.evaluate("(text) => transfer.fromFile(text, {}).conversations", text)
    assert found["messages"] == WHOLE and "allowed" not in found
    broken = [*ASKED, {**FIRST, "call": {"id": "1"}}]
    text = web.evaluate("(whole) => transfer.toJSON({ conversations: [whole] })", {**conversation, "messages": broken})
    [found] = web.evaluate("(text) => transfer.fromFile(text, {}).conversations", text)
    assert found["messages"] == ASKED
    assert web.evaluate("(whole) => search.search('needle', [whole])[0].places.length", conversation) == 1
    written = web.evaluate("(path) => transfer.toMarkdown('Sum', path)", WHOLE)
    assert "## Tool\n\nnotes/add:\n\n```\n{" in written and "needle" in written


def test_no_character_of_a_call_is_hidden(web: Page):
    hidden = {**call("1"), "tool": "a\u202eb", "arguments": '{"a": "\u200b\u202e1"}'}
    html = web.evaluate(
        """(asked) => {
            const place = document.createElement("div");
            calls.drawCalls(place, asked);
            return place.innerHTML;
        }""",
        [hidden],
    )
    assert "\\u200b\\u202e1" in html and "\u202e" not in html


# In the browser


def call_next(visit: Visit, tool: str = "add") -> None:
    """Has the next answer call a tool, by the popup of the tools."""
    visit.page.get_by_role("button", name=re.compile("^Tools")).click()
    visit.button(f"Call {tool} for the next question").click()
    visit.page.keyboard.press("Escape")


def asked(visit: Visit) -> Locator:
    return visit.page.get_by_role("group", name="Allow the call of add (notes)?")


def results(visit: Visit) -> Locator:
    return visit.page.locator(".message.tool .calls")


def test_a_call_runs_only_once_it_is_allowed_and_all_of_it_is_kept(visit: Visit):
    visit.page.get_by_role("button", name="Tools", exact=True).click()
    popup = visit.page.get_by_role("dialog", name="Tools")
    expect(popup).to_contain_text("wasn't trained for tools")
    expect(popup.get_by_role("region", name="notes")).to_contain_text("Adds two numbers.")
    expect(popup.get_by_role("region", name="broken")).to_contain_text("The key of this server is missing.")
    visit.page.keyboard.press("Escape")

    call_next(visit)
    visit.ask(QUESTION)
    expect(asked(visit).get_by_label("Arguments of add")).to_contain_text('"a": ')
    visit.reload()
    asked(visit).get_by_role("button", name="Refuse").press("Enter")
    expect(results(visit)).to_contain_text("Refused: add (notes)")
    expect(visit.answers).to_have_count(2)
    visit.wait_for_end()
    expect(asked(visit)).to_have_count(0)
    assert visit.stored()[2]["finish_reason"] == "refused"

    call_next(visit)
    visit.send(QUESTION)
    asked(visit).get_by_role("button", name="Always in this conversation").click()
    expect(visit.answers).to_have_count(4)
    visit.wait_for_end()
    call_next(visit)
    visit.send(QUESTION)
    expect(visit.answers).to_have_count(6)
    visit.wait_for_end()
    visit.reload()
    expect(results(visit)).to_have_count(3)
    stored = visit.stored()
    call = stored[-3]["calls"][0]
    assert stored[-2]["call"] == call and stored[-2]["content"] == str(sum(json.loads(call["arguments"]).values()))
    assert [message["role"] for message in stored] == ["user", "assistant", "tool", "assistant"] * 3

    results(visit).last.locator("summary").press("Enter")
    expect(results(visit).last.locator("pre")).to_have_text(stored[-2]["content"])


def test_it_is_used_by_keyboard_on_a_small_dark_screen(browser: Browser, server: Server):
    with browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark") as context:
        visit = Visit(context, server, max_new_tokens="40")
        button = visit.page.get_by_role("button", name="Tools", exact=True)
        button.press("Enter")
        popup = visit.page.get_by_role("dialog", name="Tools")
        expect(popup.get_by_role("region", name="notes")).to_contain_text("Adds two numbers.")
        expect(popup.get_by_role("region", name="broken")).to_contain_text("missing")
        visit.screenshot("tools-choice")
        assert visit.serious_problems() == []
        visit.button("Call add for the next question").press("Enter")
        expect(visit.button("Call add for the next question")).to_be_focused()
        visit.page.keyboard.press("Escape")
        visit.ask(QUESTION)
        allow = asked(visit).get_by_role("button", name="Allow once")
        expect(allow).to_be_in_viewport()
        visit.screenshot("tools-asked")
        assert visit.serious_problems() == []
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 390
        visit.page.keyboard.press("Shift+Tab")  # from the box, past the buttons beside it, back to the question
        for _ in range(10):
            if asked(visit).get_by_role("button", name="Refuse").evaluate("it => it === document.activeElement"):
                break
            visit.page.keyboard.press("Shift+Tab")
        visit.page.keyboard.press("Shift+Tab")
        visit.page.keyboard.press("Shift+Tab")
        expect(allow).to_be_focused()
        visit.page.keyboard.press("Enter")
        expect(results(visit).locator("summary")).to_have_text("Result of add (notes)")
        expect(visit.answers).to_have_count(2)
        visit.wait_for_end()
        results(visit).locator("summary").click()
        visit.screenshot("tools-result")
        assert visit.serious_problems() == []
