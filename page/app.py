"""The chat page: what happens when somebody uses it."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from config import ModelConfig, UserError
from engine.devices import available_devices
from engine.session import Answer, Model
from engine.tokenizer import ChatTokenizer
from model_folder import converted_models, model_folder, precision_label
from page.layout import Layout, example_questions, phase, welcome
from page.messages import Message, context_used, user_message, validate_messages
from page.models import LoadedModel, ModelPool, title_of
from page.settings import (
    MAX_NEW_TOKENS,
    REPETITION_PENALTY,
    SEED,
    TEMPERATURE,
    TOP_K,
    TOP_P,
    default_settings,
    generation_settings,
)
from page.tabs import Tab
from page.texts import translate
from page.view import conversation, header, message_index, unescape_html

import gradio as gr

# Seconds between two updates of an answer on the page, and between two copies of it that the browser saves.
DRAW_INTERVAL, SAVE_INTERVAL = 0.05, 1.0

Update = dict[Any, Any]  # a component → its new value


def make_demo(
    model: Model,
    tokenizer: ChatTokenizer,
    config: ModelConfig,
    title: str,
    root: Path | None = None,
    max_concurrent: int = 8,
    max_waiting: int = 30,
) -> gr.Blocks:
    """Makes a page on which any number of people can chat with the model, each in their own conversation.

    Args:
        model: what `load_model` or `engine.loading.open_model` returned.
        tokenizer: from the same folder.
        config: the row of the catalogue, for the system prompt and the example questions.
        title: the heading of the page.
        root: the folder of the converted models that can be chosen on the page; None offers no choice.
        max_concurrent: how many answers are generated at a time; other questions wait.
        max_waiting: how many questions may wait; more are refused.
    """
    return ChatPage(LoadedModel(model, tokenizer, config, title), root, max_concurrent, max_waiting).demo


class ChatPage(Layout):
    """The page, with a method for each of its events.

    The browser saves the conversations (`page.js`); the server has a `Tab` for each one that is open. `send` and
    similar methods accept a question at once, and `answer` answers it when its turn in the queue comes.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        root: Path | None,
        max_concurrent: int = 8,
        max_waiting: int = 30,
        **memory: Any,
    ) -> None:
        self.root = root
        self.pool = ModelPool(root or Path("."), loaded, **memory)
        self.tabs: dict[str, Tab] = {}
        super().__init__(loaded, choose_model=root is not None)
        with self.demo:
            self._add_events(max_concurrent)
        self.max_waiting = max_waiting
        self.demo.queue(max_size=2 * max_waiting)  # for scripts; the page refuses people earlier, with a message

    # Events

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
        chatbot.option_select(self.continue_answer, language, shown, **at_once)
        answered = self.ticket.change(
            self.answer,
            [language, *self.settings],
            shown,
            **{**private, **model, "show_progress": "minimal", "show_progress_on": self.notice},
        )
        answered.then(self.after_answer, None, self.phase, queue=False, **private)
        answered.failure(self.leave_queue, language, shown, queue=False, **private)
        # Stop does not use `cancels=`: the answer ends by itself, so it is saved with its figures, and a message sent
        # right after it is accepted.
        to_the_box = "() => document.querySelector('#message textarea').focus()"
        self.stop_button.click(self.stop, js=to_the_box, queue=False, **private)
        self.leave_button.click(self.leave_queue, language, shown, queue=False, **private)
        self.leave_button.click(None, cancels=answered, **private)  # the browser runs one after the other

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
            self.change_language, language, translated, js="async (code) => [await chatPage.speak(code)]", **at_once
        )
        self.defaults_button.click(self.restore_defaults, None, self.settings, **at_once)
        loaded = [self.load_status, self.load_button, self.header, self.chatbot, self.settings[0]]
        self.load_button.click(
            self.change_model,
            [self.model_choice, self.device_choice, language],
            loaded,
            **{**at_once, "show_progress": "full", "show_progress_on": self.load_status, "trigger_mode": "once"},
        )

    # Questions. A question is ignored while an answer is running.

    def send(self, text: str, language: str, request: gr.Request) -> Update:
        if not text.strip():
            return {self.box: gr.skip()}
        update = self._ask(lambda messages: [*messages, user_message(text)], language, request)
        return {**update, self.box: ""} if self.chatbot in update else update

    def send_example(self, chosen: gr.SelectData, language: str, request: gr.Request) -> Update:
        return self._ask(lambda messages: [*messages, user_message(chosen.value["text"])], language, request)

    def regenerate(self, chosen: gr.RetryData, language: str, request: gr.Request) -> Update:
        return self._ask(lambda messages: messages[: message_index(messages, chosen.index) + 1], language, request)

    def edit(self, chosen: gr.EditData, language: str, request: gr.Request) -> Update:
        def edited(messages: list[Message]) -> list[Message]:
            return [*messages[: message_index(messages, chosen.index)], user_message(unescape_html(chosen.value))]

        return self._ask(edited, language, request)

    def continue_answer(self, language: str, request: gr.Request) -> Update:
        """Continues the last answer."""
        return self._ask(list, language, request)

    def _ask(self, change: Callable[[list[Message]], list[Message]], language: str, request: gr.Request) -> Update:
        """Accepts the conversation that `change` returns, unless an answer is running or the queue is full."""
        tab = self._tab(request)
        if sum(other.waiting for other in list(self.tabs.values())) >= self.max_waiting:
            return {self.notice: translate(language, "queue_full")}
        if not tab.ask(change):
            return {self.box: gr.skip()}
        return {
            **self._view(tab, language),
            self.phase: phase("waiting"),
            self.notice: "",
            self.ticket: uuid.uuid4().hex,
        }

    # Answers

    def answer(self, request: gr.Request, language: str, *values: Any) -> Iterator[Update]:
        """Streams the answer to the accepted question, if there is one."""
        tab = self._tab(request)
        if not tab.begin():
            return
        try:
            yield {self.phase: phase("running")}
            yield from self._stream(tab, language, *values)
            if tab.messages[-1]["role"] == "user":  # stopped before the first token
                yield {self.box: tab.restore(), **self._view(tab, language)}
        except (UserError, RuntimeError) as error:  # the latter from the runtime: out of memory, a device error
            text = tab.restore()
            view = {**self._view(tab, language), self.notice: error_text(error, language)}
            yield {self.box: text, **view} if text else view
        finally:
            tab.end()

    def _stream(self, tab: Tab, language: str, system_prompt: str, *values: float) -> Iterator[Update]:
        drawn = saved = time.monotonic()
        with closing(tab.reply(system_prompt or None, **generation_settings(*values))) as answers:
            for answer in answers:
                now, ended = time.monotonic(), answer.finish_reason is not None
                if not ended and now - drawn < DRAW_INTERVAL and answer.completion_tokens > 1:
                    continue
                drawn = now
                if ended or now - saved > SAVE_INTERVAL:
                    saved = now
                    yield {**self._view(tab, language), self.notice: dropped_turns_text(answer, language)}
                else:
                    yield {self.chatbot: conversation(tab.messages, language)}

    def after_answer(self, request: gr.Request) -> str:
        """Shows the Send button again, unless the next question has been accepted already."""
        return phase("running" if self._tab(request).busy else "idle")

    def leave_queue(self, language: str, request: gr.Request) -> Update:
        """Withdraws a question that waits in the queue or was refused by it; its text goes back to the box."""
        tab = self._tab(request)
        text = tab.withdraw()
        return {**self._view(tab, language), self.phase: phase("idle"), self.box: text or gr.skip()}

    def stop(self, request: gr.Request) -> None:
        self._tab(request).stop()

    # Conversations

    def undo(self, chosen: gr.UndoData, language: str, request: gr.Request) -> Update:
        """Removes the last turn; its question goes back to the box."""
        tab = self._tab(request)
        tab.interrupt()
        index = message_index(tab.messages, chosen.index)
        text, tab.messages = tab.messages[index]["content"], tab.messages[:index]
        return {**self._view(tab, language), self.phase: phase("idle"), self.notice: "", self.box: text}

    def clear(self, language: str, request: gr.Request) -> Update:
        """Starts a new conversation; the previous one stays in the list."""
        tab = self._tab(request)
        tab.interrupt()
        tab.open(None, [])
        return {**self._view(tab, language), self.phase: phase("idle"), self.notice: ""}

    def open(self, chosen: gr.EventData, request: gr.Request) -> Update:
        """Opens a conversation that the browser saved, or a new one."""
        tab = self._tab(request)
        tab.interrupt()
        messages, text = validate_messages(chosen.messages), ""
        if messages and messages[-1]["role"] == "user":  # the page was closed before its answer began
            text = messages.pop()["content"]
        tab.open(chosen.id, messages)
        view = {**self._view(tab, chosen.language), self.phase: phase("idle"), self.notice: ""}
        return {**view, self.box: text} if text else view

    def close(self, request: gr.Request) -> None:
        """The browser tab was closed."""
        if tab := self.tabs.pop(request.session_hash, None):
            tab.release()

    def _view(self, tab: Tab, language: str) -> Update:
        """The conversation of the tab, for the page to show and the browser to save."""
        return {
            self.chatbot: conversation(tab.messages, language),
            self.header: self._header(tab, language),
            self.library: {"id": tab.id, "messages": tab.messages},
        }

    def _header(self, tab: Tab, language: str) -> str:
        return header(tab.model.title, context_used(tab.messages), tab.model.model.context_length, language)

    def _tab(self, request: gr.Request) -> Tab:
        return self.tabs.setdefault(request.session_hash, Tab(self.loaded))

    # Settings

    def greet(self, language: str, request: gr.Request) -> Update:
        """Fills in what depends on the browser and on the models and devices of this moment."""
        tab = self._tab(request)
        choices = variant_choices(self.root) if self.root else []
        devices = available_devices()
        choice, device = json.dumps([tab.model.name, tab.model.precision]), tab.model.device
        return {
            self.language: language,
            self.header: self._header(tab, language),
            self.chatbot: gr.Chatbot(placeholder=welcome(language)),
            self.model_choice: gr.Dropdown(choices=choices, value=choice if choice in dict(choices).values() else None),
            self.device_choice: gr.Dropdown(choices=devices, value=device if device in devices else None),
        }

    def change_language(self, language: str, request: gr.Request) -> Update:
        """Rewrites the texts that come from Python in another language."""
        tab = self._tab(request)
        messages = conversation(tab.messages, language)
        return {**self._view(tab, language), self.chatbot: gr.Chatbot(messages, placeholder=welcome(language))}

    def change_model(
        self, choice: str | None, device: str | None, language: str, request: gr.Request
    ) -> Iterator[Update]:
        """Loads another model for this tab; the current one answers until it is ready."""
        if not choice or not device:
            yield {self.load_status: translate(language, "choose_model")}
            return
        name, precision = json.loads(choice)
        title, tab = title_of(name, precision, device), self._tab(request)
        yield {
            self.load_status: translate(language, "loading", title=title),
            self.load_button: gr.Button(interactive=False),
        }
        try:
            tab.model = self.pool.get(name, precision, device)
        except UserError as error:
            yield {self.load_status: str(error), self.load_button: gr.Button(interactive=True)}
            return
        config = tab.model.config
        yield {
            self.load_status: translate(language, "loaded", title=title),
            self.load_button: gr.Button(interactive=True),
            self.header: self._header(tab, language),
            self.chatbot: gr.Chatbot(examples=example_questions(config)),
            self.settings[0]: config.system_prompt or "",
        }

    def restore_defaults(self, request: gr.Request) -> list[Any]:
        return default_settings(self._tab(request).model.config)

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
        seed: int = SEED,
    ) -> Iterator[str]:
        """Streams the answer to a message that follows `history`; each value is the whole answer so far.

        Without a system prompt, the default of the model is used.
        """
        tab = Tab(self.loaded)
        tab.messages = [*validate_messages(history or []), user_message(message)]
        prompt = self.loaded.config.system_prompt if system_prompt is None else system_prompt
        settings = generation_settings(temperature, top_p, top_k, repetition_penalty, max_new_tokens, seed)
        for answer in tab.reply(prompt or None, **settings):
            yield answer.text


def variant_choices(root: Path) -> list[tuple[str, str]]:
    """Labels and values of the converted models under `root`; `json.loads` of a value gives name and precision."""
    return [
        (title_of(name, precision_label(model_folder(name, precision, root))), json.dumps([name, precision]))
        for name, precisions in converted_models(root).items()
        for precision in precisions
    ]


def dropped_turns_text(answer: Answer, language: str) -> str:
    return translate(language, "left_out", count=answer.dropped_turns) if answer.dropped_turns else ""


def error_text(error: UserError | RuntimeError, language: str) -> str:
    """What the page says if a message could not be answered."""
    if isinstance(error, UserError):
        return str(error)
    return translate(language, "failed", reason=str(error).strip().splitlines()[-1])
