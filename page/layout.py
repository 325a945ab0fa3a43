"""The components of the page."""

from config import EXAMPLE_QUESTIONS, ModelConfig
from page.models import LoadedModel
from page.server import I18N, ServedBlocks
from page.settings import settings_panel
from page.texts import LANGUAGES, translate
from page.view import header

import gradio as gr

LATEX = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
    {"left": "\\(", "right": "\\)", "display": False},
    {"left": "\\[", "right": "\\]", "display": True},
]


class Layout:
    """The page without its events; the components are attributes.

    Args:
        loaded: the model that answers at first.
        choose_model: offer other models.
    """

    def __init__(self, loaded: LoadedModel, choose_model: bool) -> None:
        self.loaded = loaded
        with ServedBlocks(title=loaded.title, fill_height=True, analytics_enabled=False) as self.demo:
            self._add_library()
            self._add_conversation()
            self._add_settings(choose_model)

    def _add_library(self) -> None:
        with gr.Sidebar(label=I18N("conversations"), position="left", open=False, elem_id="library-panel"):
            self.library = gr.HTML(
                html_template="<div class='library'></div>",
                js_on_load="chatPage.attach(element, props, trigger, watch)",
                elem_id="library",
            )

    def _add_conversation(self) -> None:
        self.header = gr.HTML(header(self.loaded.title, 0, self.loaded.model.context_length, "en"), elem_id="header")
        self.new_button = gr.Button(I18N("new_conversation"), size="sm", elem_id="new")
        self.chatbot = gr.Chatbot(
            label=I18N("conversation"),
            show_label=False,
            buttons=["copy"],
            editable="user",
            examples=example_questions(self.loaded.config),
            placeholder=welcome("en"),
            latex_delimiters=LATEX,
            scale=1,
            height=None,
            elem_id="conversation",
        )
        self.notice = gr.Markdown(elem_id="notice")
        with gr.Row(elem_id="composer", equal_height=True):
            self.box = gr.Textbox(
                label=I18N("message"),
                show_label=False,
                placeholder=I18N("type_a_message"),
                max_lines=8,
                autofocus=True,
                container=False,
                scale=9,
                elem_id="message",
            )
            self.send_button = gr.Button(I18N("send"), variant="primary", scale=0, min_width=88, elem_id="send")
            self.stop_button = gr.Button(I18N("stop"), scale=0, min_width=88, elem_id="stop")
            self.leave_button = gr.Button(I18N("leave_queue"), scale=0, min_width=88, elem_id="leave")
            self.phase = gr.HTML(phase("idle"), elem_id="phase")
        self.ticket = gr.State()  # changes with each accepted question, which triggers its answer

    def _add_settings(self, choose_model: bool) -> None:
        with gr.Sidebar(label=I18N("settings"), position="right", open=False, width=360, elem_id="settings-panel"):
            gr.Markdown(I18N("settings"), elem_classes="panel-title")
            gr.Markdown(I18N("from_next_message"), elem_classes="hint")
            with gr.Group(visible=choose_model):
                self.model_choice = gr.Dropdown(label=I18N("model"), info=I18N("model_info"))
                self.device_choice = gr.Dropdown(label=I18N("device"), info=I18N("device_info"))
                self.load_button = gr.Button(I18N("load"), size="sm")
                self.load_status = gr.Markdown(elem_classes="hint")
            self.settings = settings_panel(self.loaded.config)
            self.defaults_button = gr.Button(I18N("defaults"), size="sm")
            choices = [(name, code) for code, name in LANGUAGES.items()]
            self.language = gr.Radio(choices, value="en", label=I18N("language"), elem_id="language")


def phase(name: str) -> str:
    """Tells `page.css` which button to show: Send ("idle"), Leave queue ("waiting") or Stop ("running")."""
    return f'<span class="{name}"></span>'


def welcome(language: str) -> str:
    return f"## {translate(language, 'welcome')}"


def example_questions(config: ModelConfig) -> list[dict[str, str]]:
    return [{"text": question} for question in EXAMPLE_QUESTIONS[config.language]]
