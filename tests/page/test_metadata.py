import httpx

from llm_chatbot.page.metadata import DESCRIPTION, with_own_metadata
from tests.page_visit import Server, Visit


def test_cards_are_taken_out_and_a_description_is_put_in():
    document = b'<head><meta property="og:title"\n content="Gradio" /><meta name="viewport" content="x" /></head>'
    written = with_own_metadata(document).decode()
    assert DESCRIPTION in written and "og:" not in written and "viewport" in written


def test_the_document_names_no_other_product_and_no_other_host(server: Server):
    document = httpx.get(server.address).text
    assert DESCRIPTION in document
    assert "twitter:" not in document and "githubusercontent" not in document


def test_the_tab_has_the_pages_icon_and_the_conversations_name(visit: Visit, server: Server):
    assert visit.page.title() == "LLM Chatbot"
    icon = visit.page.locator("link[rel=icon]").last.get_attribute("href")
    assert httpx.get(f"{server.address}/{icon}").headers["content-type"] == "image/svg+xml"
    visit.set(max_new_tokens="2")
    visit.ask("Say hello.")
    assert visit.page.title() == "Say hello. · LLM Chatbot"
    visit.begin()
    assert visit.page.title() == "LLM Chatbot"
