"""The front end in which a notebook is open: its language, and how a page of this machine is shown there."""

import os
import re
import sys
from typing import Protocol

from IPython import get_ipython
from IPython.display import HTML, display

# Set where the browser is on another machine, which does not reach 127.0.0.1 here.
REMOTE = ("JUPYTERHUB_USER", "BINDER_SERVICE_HOST", "COLAB_RELEASE_TAG", "SSH_CONNECTION")

# JupyterLab says on its body whether its theme is light. A page of another address can't see that, and is told.
FRAME = """<iframe width="100%" height="600" style="border: 0" allow="clipboard-read; clipboard-write"></iframe>
<script>{{
  const frame = document.currentScript.previousElementSibling;
  const {{ jpThemeLight }} = document.body.dataset;
  const theme = jpThemeLight ? `?__theme=${{jpThemeLight === "false" ? "dark" : "light"}}` : "";
  frame.src = "{address}" + theme;
}}</script>"""


class Page(Protocol):
    """A page as `make_demo` makes it."""

    @property
    def local_url(self) -> str: ...

    def launch(self, inline: bool, prevent_thread_lock: bool) -> object: ...


def show_page(page: Page) -> None:
    """Starts a page, and shows it below the cell where the front end can; its address is printed."""
    page.launch(inline=False, prevent_thread_lock=True)
    if shows_pages():
        display(HTML(FRAME.format(address=page.local_url)))


def shows_pages() -> bool:
    """Whether a page that this machine serves can be shown inside the notebook: in JupyterLab on the same machine.

    jupyter_server names the notebook in JPY_SESSION_NAME. Others that run kernels (VS Code, nbconvert, nbval) don't, or
    are named in `REMOTE`; they get a link.
    """
    return (
        "JPY_SESSION_NAME" in os.environ and not any(map(os.environ.get, REMOTE)) and "google.colab" not in sys.modules
    )


def notebook_language() -> str:
    """The notebook's language: "en", "ja" or "zh".

    `LLM_CHATBOT_LANGUAGE` if it is one of these, else what the notebook's file is named after, as jupyter_server and
    VS Code tell it: llm-chatbot.ja.ipynb is Japanese. English where nobody tells.
    """
    if (chosen := os.environ.get("LLM_CHATBOT_LANGUAGE")) in ("en", "ja", "zh"):
        return chosen
    shell = get_ipython()
    path = os.environ.get("JPY_SESSION_NAME") or (shell.user_ns.get("__vsc_ipynb_file__", "") if shell else "")
    suffix = re.search(r"\.(ja|zh)\b[^/\\]*$", str(path))
    return suffix[1] if suffix else "en"
