"""page/web/server/place.js: where the conversations are."""

import re

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.page_visit import FRANCE, Server, Visit

MESSAGE = """{ id: "m", conversation: "c", parent: null, role: "user", content: "Under the name" }"""


@pytest.mark.parametrize("name", ["localhost", "0.0.0.0"])
def test_other_names_lead_to_the_address_where_the_conversations_are(
    name: str, context: BrowserContext, server: Server
):
    visit = Visit(context, server)
    visit.set(max_new_tokens="4")
    visit.ask(FRANCE)
    visit.page.evaluate("(name) => (location.hostname = name)", name)
    visit.page.wait_for_url(re.compile(f"^{re.escape(server.address)}/#c="))
    expect(visit.questions).to_have_text([FRANCE])


def test_what_is_kept_under_the_name_localhost_is_shown_there(context: BrowserContext, server: Server):
    visit = Visit(context, server)
    named = server.address.replace("127.0.0.1", "localhost")
    visit.page.goto(f"{named}/page/texts.json")
    add = f"""async () => {{
        const {{ openStore }} = await import("/page/web/store/store.js");
        await (await openStore()).add({{ id: "c", name: "", settings: {{}}, updated: 1 }}, [{MESSAGE}]);
    }}"""
    visit.page.evaluate(add)
    visit.page.goto(f"{named}/#c=c")
    expect(visit.questions).to_have_text(["Under the name"])
    visit.open_panel("Settings")
    expect(visit.page.locator("#settings-panel")).to_contain_text(f"for {named}. Another address or port has its own")


def test_behind_a_proxy_the_page_stays_where_it_is(context: BrowserContext, server: Server):
    context.set_extra_http_headers({"x-forwarded-for": "10.0.0.1"})
    page = context.new_page()
    page.goto(server.address.replace("127.0.0.1", "localhost"))
    expect(page.locator("#message textarea")).to_be_visible()
    assert page.url.startswith("http://localhost:")
