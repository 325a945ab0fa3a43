"""The page's frame in Gradio."""

from collections.abc import Callable

from starlette.routing import BaseRoute

from llm_chatbot.page.gradio_without_mcp import gradio as gr
from llm_chatbot.page.server import ServedBlocks

# Everything that is seen is drawn by `web/main.js` in one `gr.HTML`: `gr.Chatbot` has neither versions of a message nor
# progress, and redraws the whole conversation for each token.
MOUNT = "import(new URL('page/web/main.js', document.baseURI)).then((main) => main.start(element))"


def make_frame(title: str, routes: list[BaseRoute], on_close: Callable[[], None]) -> gr.Blocks:
    """The page without its script endpoint.

    Args:
        title: of the browser's tab.
        routes: the page's own, which are served beside Gradio's.
        on_close: called when the page is closed.
    """
    with ServedBlocks(routes, on_close, title=title, fill_height=True, analytics_enabled=False) as demo:
        gr.HTML(html_template="<div id='chat-page'></div>", js_on_load=MOUNT, apply_default_css=False, elem_id="frame")
    return demo
