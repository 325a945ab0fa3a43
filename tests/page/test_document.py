"""The page's document, and what a visit of it costs."""

import httpx
from playwright.sync_api import BrowserContext, expect

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.page.app import ChatPage
from tests.page_visit import Server, Visit

# How often something asks for a frame within a second.
FRAMES = """async () => {
  let frames = 0;
  const { requestAnimationFrame } = window;
  window.requestAnimationFrame = (act) => ((frames += 1), requestAnimationFrame(act));
  await new Promise((done) => setTimeout(done, 1000));
  return frames;
}"""


def test_the_document_has_a_description_and_names_no_other_product_and_no_other_host(server: Server):
    document = httpx.get(server.address).text
    assert 'name="description"' in document
    assert "http" not in document and "gradio" not in document.lower()


def test_all_that_a_visit_fetches_is_the_pages_own(context: BrowserContext, server: Server):
    fetched: list[str] = []
    context.on("request", lambda request: fetched.append(request.url))
    Visit(context, server)
    assert fetched.pop(0) == f"{server.address}/"
    assert all(url.startswith(f"{server.address}/page/") for url in fetched), fetched


def test_a_page_at_rest_draws_nothing(visit: Visit):
    assert visit.page.evaluate(FRAMES) <= 3


def test_the_tab_has_the_pages_icon_and_the_conversations_name(visit: Visit, server: Server):
    assert visit.page.title() == "LLM Chatbot"
    icon = visit.page.locator("link[rel=icon]").last.get_attribute("href")
    assert httpx.get(f"{server.address}/{icon}").headers["content-type"] == "image/svg+xml"
    visit.set(max_new_tokens="2")
    visit.ask("Say hello.")
    assert visit.page.title() == "Say hello. · LLM Chatbot"
    visit.begin()
    assert visit.page.title() == "LLM Chatbot"


def test_whoever_logged_in_can_log_out_in_this_browser_only(loaded: LoadedModel, context: BrowserContext):
    chat = ChatPage(loaded, None)
    chat.demo.launch(prevent_thread_lock=True, quiet=True, auth=("ann", "secret"))
    address = chat.demo.local_url
    page = context.new_page()
    with httpx.Client(base_url=address) as other:
        other.post("login", data={"username": "ann", "password": "secret"})
        page.goto(address)
        page.get_by_label("User name").fill("ann")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_have_text("User name or password is wrong.")
        page.get_by_label("Password").fill("secret")
        page.get_by_label("Password").press("Enter")
        page.locator("header").get_by_role("button", name="Settings", exact=True).click()
        page.get_by_role("link", name="Log out").click()
        expect(page.get_by_label("Password")).to_be_visible()
        assert other.get("page/state.json").status_code == 200
    assert page.evaluate("async () => (await fetch('page/state.json')).status") == 401
    chat.demo.close(verbose=False)
