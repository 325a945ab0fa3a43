"""The chat page: what is on it, and what happens when somebody uses it."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from config import EXAMPLE_QUESTIONS, ModelConfig, UserError
from model_folder import converted_models
from ov_llm_model import OVChatModel, available_devices
from page.server import I18N, ServedBlocks
from page.tabs import LoadedModel, ModelPool, Tab, title_of
from page.texts import LANGUAGES, TEXTS, say
from page.view import Message, conversation, header, message_index, plain

import gradio as gr
from transformers import PreTrainedTokenizerFast

# What holds until somebody sets something else: in the panel, or as an argument of the endpoint for scripts.
TEMPERATURE, TOP_P, TOP_K, REPETITION_PENALTY, MAX_NEW_TOKENS, NEW_SEED = 0.1, 1.0, 50, 1.1, 256, -1

# Seconds between two pictures of an answer that streams, and between two copies of it that the browser keeps.
DRAW_EVERY, SAVE_EVERY = 0.05, 1.0

LATEX = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
    {"left": "\\(", "right": "\\)", "display": False},
    {"left": "\\[", "right": "\\]", "display": True},
]

Update = dict[Any, Any]  # a component → its new value


def make_demo(
    model: OVChatModel,
    tokenizer: PreTrainedTokenizerFast,
    config: ModelConfig,
    title: str,
    root: Path | None = None,
    max_concurrent: int = 2,
    max_waiting: int = 30,
) -> gr.Blocks:
    """A page on which any number of people chat with the model, each in a conversation of their own.

    Args:
        model: what `load_model` returned.
        tokenizer: of the same folder.
        config: the catalogue's row, for the system prompt and the example questions.
        title: the heading of the page.
        root: where the converted models are that can be chosen on the page; None offers no choice.
        max_concurrent: how many answers are made at once; the others wait.
        max_waiting: how many may wait; more are refused.
    """
    return ChatPage(LoadedModel(model, tokenizer, config, title), root, max_concurrent, max_waiting).demo


class ChatPage:
    """The page's components as attributes, and a method for each thing that can happen.

    The browser keeps the conversations (`page.js`); here there is a `Tab` for each that is open. A question is
    accepted at once (`send` and its like), and `answer` answers it when there is a place in the queue.
    """

    def __init__(self, loaded: LoadedModel, root: Path | None, max_concurrent: int, max_waiting: int) -> None:
        self.loaded = loaded
        self.root = root
        self.pool = ModelPool(root or Path("."), loaded)
        self.tabs: dict[str, Tab] = {}
        with ServedBlocks(title=loaded.title, fill_height=True, analytics_enabled=False) as self.demo:
            self._add_library()
            self._add_conversation()
            self._add_settings()
            self._add_events(max_concurrent)
        self.max_waiting = max_waiting
        self.demo.queue(max_size=2 * max_waiting)  # people are refused before, in a sentence; this is for scripts

    # What is on the page

    def _add_library(self) -> None:
        with gr.Sidebar(label=I18N("conversations"), position="left", open=False, elem_id="library-panel"):
            self.library = gr.HTML(
                html_template="<div class='library'></div>",
                js_on_load="chatPage.attach(element, props, trigger, watch)",
                texts=TEXTS,
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
            examples=examples(self.loaded.config),
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
        self.ticket = gr.State()  # changes with each question that is accepted, and so has it answered

    def _add_settings(self) -> None:
        with gr.Sidebar(label=I18N("settings"), position="right", open=False, width=360, elem_id="settings-panel"):
            gr.Markdown(I18N("settings"), elem_classes="panel-title")
            gr.Markdown(I18N("from_next_message"), elem_classes="hint")
            with gr.Group(visible=self.root is not None):
                self.model_choice = gr.Dropdown(label=I18N("model"), info=I18N("model_info"))
                self.device_choice = gr.Dropdown(label=I18N("device"), info=I18N("device_info"))
                self.load_button = gr.Button(I18N("load"), size="sm")
                self.load_status = gr.Markdown(elem_classes="hint")
            self.settings = settings_panel(self.loaded.config)
            self.defaults_button = gr.Button(I18N("defaults"), size="sm")
            choices = [(name, code) for code, name in LANGUAGES.items()]
            self.language = gr.Radio(choices, value="en", label=I18N("language"), elem_id="language")

    # What leads to what

    def _add_events(self, max_concurrent: int) -> None:
        shown = [self.box, self.chatbot, self.header, self.library, self.notice, self.phase, self.ticket]
        private = {"api_visibility": "private", "trigger_mode": "multiple", "show_progress": "hidden"}
        at_once = {**private, "concurrency_limit": None}
        model = {"concurrency_id": "model", "concurrency_limit": max_concurrent}

        box, chatbot, language = self.box, self.chatbot, self.language
        gr.on([box.submit, self.send_button.click], self.send, [box, language], shown, **at_once)
        chatbot.example_select(self.send_example, language, shown, **at_once)
        chatbot.retry(self.regenerate, language, shown, **at_once)
        chatbot.edit(self.edit, language, shown, **at_once)
        chatbot.option_select(self.go_on, language, shown, **at_once)
        answered = self.ticket.change(
            self.answer,
            [language, *self.settings],
            shown,
            **{**private, **model, "show_progress": "minimal", "show_progress_on": self.notice},
        )
        answered.then(self.after_answer, None, self.phase, queue=False, **private)
        answered.failure(self.leave, language, shown, queue=False, **private)
        # Stopping is not `cancels=`: the answer ends by itself, so that it is kept with its figures, and the next
        # message is not taken for one that is sent while another runs.
        to_the_box = "() => document.querySelector('#message textarea').focus()"
        self.stop_button.click(self.stop, js=to_the_box, queue=False, **private)
        self.leave_button.click(self.leave, language, shown, queue=False, **private)
        self.leave_button.click(None, cancels=answered, **private)  # the browser does one after the other

        chatbot.undo(self.undo, language, shown, **at_once)
        self.new_button.click(self.clear, language, shown, **at_once)
        self.library.select(self.open, None, shown, **at_once)
        self._add_panel_events(at_once)
        self.demo.unload(self.close)
        gr.api(self.chat, api_name="chat", **model)

    def _add_panel_events(self, at_once: dict[str, Any]) -> None:
        language = self.language
        greeted = [language, self.header, self.chatbot, self.model_choice, self.device_choice]
        self.demo.load(self.greet, language, greeted, js="async () => [await chatPage.greet()]", **at_once)
        translated = [self.chatbot, self.header, self.library]
        language.input(
            self.translate, language, translated, js="async (code) => [await chatPage.speak(code)]", **at_once
        )
        self.defaults_button.click(self.defaults, None, self.settings, **at_once)
        loaded = [self.load_status, self.load_button, self.header, self.chatbot, self.settings[0]]
        self.load_button.click(
            self.change_model,
            [self.model_choice, self.device_choice, language],
            loaded,
            **{**at_once, "show_progress": "full", "show_progress_on": self.load_status, "trigger_mode": "once"},
        )

    # Questions. Each is accepted, or nothing happens because an answer is running.

    def send(self, text: str, language: str, request: gr.Request) -> Update:
        if not text.strip():
            return {self.box: gr.skip()}
        update = self._ask(lambda messages: [*messages, user(text)], language, request)
        return {**update, self.box: ""} if self.chatbot in update else update

    def send_example(self, chosen: gr.SelectData, language: str, request: gr.Request) -> Update:
        return self._ask(lambda messages: [*messages, user(chosen.value["text"])], language, request)

    def regenerate(self, chosen: gr.RetryData, language: str, request: gr.Request) -> Update:
        return self._ask(lambda messages: messages[: message_index(messages, chosen.index) + 1], language, request)

    def edit(self, chosen: gr.EditData, language: str, request: gr.Request) -> Update:
        def edited(messages: list[Message]) -> list[Message]:
            return [*messages[: message_index(messages, chosen.index)], user(plain(chosen.value))]

        return self._ask(edited, language, request)

    def go_on(self, language: str, request: gr.Request) -> Update:
        """Continues the last answer."""
        return self._ask(list, language, request)

    def _ask(self, change: Callable[[list[Message]], list[Message]], language: str, request: gr.Request) -> Update:
        """Accepts the conversation as `change` makes it, if it can be answered now or after a while."""
        tab = self._tab(request)
        if sum(other.waiting for other in list(self.tabs.values())) >= self.max_waiting:
            return {self.notice: say(language, "queue_full")}
        if not tab.ask(change):
            return {self.box: gr.skip()}
        return {
            **self._view(tab, language),
            self.phase: phase("waiting"),
            self.notice: "",
            self.ticket: uuid.uuid4().hex,
        }

    # Answers

    def answer(self, request: gr.Request, language: str, *settings: Any) -> Iterator[Update]:
        """Streams the answer to the question that was accepted, if there is one."""
        tab = self._tab(request)
        if not tab.begin():
            return
        try:
            yield {self.phase: phase("running")}
            yield from self._stream(tab, language, *settings)
            if tab.messages[-1]["role"] == "user":  # stopped before its first token
                yield {self.box: tab.give_up(), **self._view(tab, language)}
        except (UserError, RuntimeError) as error:  # the latter is the runtime's: no memory, a failing device
            text = tab.give_up()
            view = {**self._view(tab, language), self.notice: sentence(error, language)}
            yield {self.box: text, **view} if text else view
        finally:
            tab.end()

    def _stream(self, tab: Tab, language: str, system_prompt: str, *settings: float) -> Iterator[Update]:
        drawn = saved = time.monotonic()
        with closing(tab.reply(system_prompt or None, **generation_settings(*settings))) as answers:
            for answer in answers:
                now, ended = time.monotonic(), answer.finish_reason is not None
                if not ended and now - drawn < DRAW_EVERY and answer.completion_tokens > 1:
                    continue
                drawn = now
                if ended or now - saved > SAVE_EVERY:
                    saved = now
                    left_out = say(language, "left_out", turns=answer.dropped_turns) if answer.dropped_turns else ""
                    yield {**self._view(tab, language), self.notice: left_out}
                else:
                    yield {self.chatbot: conversation(tab.messages, language)}

    def after_answer(self, request: gr.Request) -> str:
        """Send comes back, unless the next question was accepted already."""
        return phase("running" if self._tab(request).busy else "idle")

    def leave(self, language: str, request: gr.Request) -> Update:
        """Gives up a question that waits in the queue, or that the queue refused; its text goes back to the box."""
        tab = self._tab(request)
        text = tab.leave()
        return {**self._view(tab, language), self.phase: phase("idle"), self.box: text or gr.skip()}

    def stop(self, request: gr.Request) -> None:
        self._tab(request).stop()

    # The conversation

    def undo(self, chosen: gr.UndoData, language: str, request: gr.Request) -> Update:
        """Takes the last turn back; its question goes to the box."""
        tab = self._tab(request)
        tab.interrupt()
        index = message_index(tab.messages, chosen.index)
        text, tab.messages = tab.messages[index]["content"], tab.messages[:index]
        return {**self._view(tab, language), self.phase: phase("idle"), self.box: text}

    def clear(self, language: str, request: gr.Request) -> Update:
        """Begins a new conversation; the one before stays in the list."""
        tab = self._tab(request)
        tab.interrupt()
        tab.open(None, [])
        return {**self._view(tab, language), self.phase: phase("idle"), self.notice: ""}

    def open(self, chosen: gr.EventData, request: gr.Request) -> Update:
        """Goes to a conversation that the browser has kept, or to a new one."""
        tab = self._tab(request)
        tab.interrupt()
        messages, text = checked(chosen.messages), ""
        if messages and messages[-1]["role"] == "user":  # the page was left before its answer began
            text = messages.pop()["content"]
        tab.open(chosen.id, messages)
        view = {**self._view(tab, chosen.language), self.phase: phase("idle"), self.notice: ""}
        return {**view, self.box: text} if text else view

    def close(self, request: gr.Request) -> None:
        """The browser tab was closed."""
        if tab := self.tabs.pop(request.session_hash, None):
            tab.release()

    def _view(self, tab: Tab, language: str) -> Update:
        """The tab's conversation, on the page and for the browser to keep."""
        used = tab.answer.prompt_tokens + tab.answer.completion_tokens if tab.answer else 0
        return {
            self.chatbot: conversation(tab.messages, language),
            self.header: header(tab.model.title, used, tab.model.model.context_length, language),
            self.library: {"id": tab.id, "messages": tab.messages},
        }

    def _tab(self, request: gr.Request) -> Tab:
        return self.tabs.setdefault(request.session_hash, Tab(self.loaded))

    # Settings

    def greet(self, language: str, request: gr.Request) -> Update:
        """What depends on the browser, and on the models that are there at the moment."""
        tab = self._tab(request)
        names = converted_models(self.root) if self.root else {}
        choices = [f"{name} · {precision}" for name, precisions in names.items() for precision in precisions]
        devices = available_devices()
        choice, _, device = tab.model.title.rpartition(" · ")
        return {
            self.language: language,
            self.header: header(tab.model.title, 0, tab.model.model.context_length, language),
            self.chatbot: gr.Chatbot(placeholder=welcome(language)),
            self.model_choice: gr.Dropdown(choices=choices, value=choice if choice in choices else None),
            self.device_choice: gr.Dropdown(choices=devices, value=device if device in devices else None),
        }

    def translate(self, language: str, request: gr.Request) -> Update:
        """What Python has written on the page, in another language."""
        tab = self._tab(request)
        messages = conversation(tab.messages, language)
        return {**self._view(tab, language), self.chatbot: gr.Chatbot(messages, placeholder=welcome(language))}

    def change_model(self, choice: str, device: str, language: str, request: gr.Request) -> Iterator[Update]:
        """Loads another model for this tab; the one before answers until it is there."""
        name, _, precision = choice.partition(" · ")
        title, tab = title_of(name, precision, device), self._tab(request)
        yield {self.load_status: say(language, "loading", title=title), self.load_button: gr.Button(interactive=False)}
        try:
            tab.model = self.pool.get(name, precision, device)
        except UserError as error:
            yield {self.load_status: str(error), self.load_button: gr.Button(interactive=True)}
            return
        config = tab.model.config
        yield {
            self.load_status: say(language, "loaded", title=title),
            self.load_button: gr.Button(interactive=True),
            self.header: header(tab.model.title, 0, tab.model.model.context_length, language),
            self.chatbot: gr.Chatbot(examples=examples(config)),
            self.settings[0]: config.system_prompt or "",
        }

    def defaults(self, request: gr.Request) -> list[Any]:
        prompt = self._tab(request).model.config.system_prompt or ""
        return [prompt, TEMPERATURE, TOP_P, TOP_K, REPETITION_PENALTY, MAX_NEW_TOKENS, NEW_SEED]

    # For scripts

    def chat(
        self,
        message: str,
        history: list[Message] | None = None,
        system_prompt: str | None = None,
        temperature: float = TEMPERATURE,
        top_p: float = TOP_P,
        top_k: int = TOP_K,
        repetition_penalty: float = REPETITION_PENALTY,
        max_new_tokens: int = MAX_NEW_TOKENS,
        seed: int = NEW_SEED,
    ) -> Iterator[str]:
        """Streams the answer to a message after the messages in `history`; each value is the whole answer so far.

        Without a system prompt, the model's own is taken.
        """
        tab = Tab(self.loaded)
        tab.messages = [*checked(history or []), user(message)]
        prompt = self.loaded.config.system_prompt if system_prompt is None else system_prompt
        settings = generation_settings(temperature, top_p, top_k, repetition_penalty, max_new_tokens, seed)
        for answer in tab.reply(prompt or None, **settings):
            yield answer.text


def phase(name: str) -> str:
    """Which of the buttons `page.css` shows: Send where the page is idle, else what takes its place."""
    return f'<span class="{name}"></span>'


def welcome(language: str) -> str:
    return f"## {say(language, 'welcome')}"


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def checked(messages: Any) -> list[Message]:
    """A conversation that came from outside, if it is one.

    Raises:
        gr.Error: it is none.
    """
    for message in messages if isinstance(messages, list) else [None]:
        if (
            not isinstance(message, dict)
            or message.get("role") not in ("user", "assistant")
            or not isinstance(message.get("content"), str)
            or not isinstance(message.get("figures", {}), dict)
        ):
            raise gr.Error("A conversation is a list of messages, each with a role (user or assistant) and a content.")
    return list(messages)


def examples(config: ModelConfig) -> list[dict[str, str]]:
    return [{"text": question} for question in EXAMPLE_QUESTIONS[config.language]]


def sentence(error: UserError | RuntimeError, language: str) -> str:
    """What the page says where a message could not be answered; its text goes back to the box."""
    if isinstance(error, UserError):
        return str(error)
    return say(language, "failed", reason=str(error).strip().splitlines()[-1])


def generation_settings(
    temperature: float,
    top_p: float,
    top_k: float,
    repetition_penalty: float,
    max_new_tokens: float,
    seed: float | None,
) -> dict[str, Any]:
    """What the panel shows, as `ChatSession.stream` takes it: the page sends every number as a float."""
    return {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": int(top_k),
        "repetition_penalty": repetition_penalty,
        "max_new_tokens": int(max_new_tokens),
        "seed": None if seed is None or seed < 0 else int(seed),  # None where the field is empty
    }


def settings_panel(config: ModelConfig) -> list[gr.components.Component]:
    """What can be set: the system prompt, then what `generation_settings` takes, in its order."""

    def slider(name: str, low: float, high: float, value: float, step: float) -> gr.Slider:
        return gr.Slider(low, high, value, step=step, label=I18N(name), info=I18N(f"{name}_info"))

    return [
        gr.Textbox(
            config.system_prompt or "",
            label=I18N("system_prompt"),
            info=I18N("system_prompt_info"),
            lines=2,
            max_lines=8,
        ),
        slider("temperature", 0, 2, TEMPERATURE, 0.1),
        slider("top_p", 0.05, 1, TOP_P, 0.05),
        slider("top_k", 0, 200, TOP_K, 1),
        slider("repetition_penalty", 1, 2, REPETITION_PENALTY, 0.05),
        slider("max_new_tokens", 1, 4096, MAX_NEW_TOKENS, 1),
        gr.Number(NEW_SEED, label=I18N("seed"), info=I18N("seed_info"), precision=0, minimum=-1),
    ]
