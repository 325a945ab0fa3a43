"""The chat page, the same from the notebook and from a shell."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before the libraries below: importing it keeps them from reporting usage.
from config import DEFAULT_MODEL, EXAMPLE_QUESTIONS, ModelConfig, UserError, get_model_config

# isort: split
import gradio as gr
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from model_folder import SUBFOLDERS, is_complete, model_folder
from ov_llm_model import ChatSession, OVChatModel, load_model

History = list[dict[str, Any]]

# What holds until somebody sets something else: in the panel, or as an argument of the endpoint for scripts.
TEMPERATURE, TOP_P, TOP_K, REPETITION_PENALTY, MAX_NEW_TOKENS, NEW_SEED = 0.1, 1.0, 50, 1.1, 256, -1


def make_demo(model: OVChatModel, tokenizer: PreTrainedTokenizerFast, config: ModelConfig, title: str) -> gr.Blocks:
    """A page on which any number of people chat with the model, each in a conversation of their own.

    Args:
        model: what `load_model` returned.
        tokenizer: of the same folder.
        config: the catalogue's row, for the system prompt and the example questions.
        title: the heading of the page.
    """

    def answer(
        history: History, session: ChatSession | None, *settings: Any
    ) -> Iterator[tuple[History, ChatSession, str]]:
        """Streams the model's answer to the last message: the whole conversation so far, and what to say about it."""
        session = session or ChatSession(model, tokenizer, chat_format=config.chat_format)
        *earlier, message = [{"role": turn["role"], "content": plain_text(turn["content"])} for turn in history]
        session.messages = earlier
        session.system_prompt, generation = settings[0] or None, generation_settings(*settings[1:])
        for partial in session.stream(message["content"], **generation):
            yield [*history, {"role": "assistant", "content": partial.text}], session, left_out(partial.dropped_turns)

    def send(text: str, history: History, *session_and_settings: Any) -> Iterator[tuple]:
        if not text.strip():
            return
        asked = [*history, {"role": "user", "content": text}]
        yield "", asked, gr.skip(), "", *send_or_stop(streaming=True)
        try:
            for update in answer(asked, *session_and_settings):
                yield gr.skip(), *update, gr.skip(), gr.skip()  # what is typed meanwhile stays in the box
        except (UserError, RuntimeError) as error:  # the latter is the runtime's: no memory, a failing device
            yield text, history, gr.skip(), sentence(error), *send_or_stop(streaming=False)

    def send_example(chosen: gr.SelectData, history: History, *session_and_settings: Any) -> Iterator[tuple]:
        yield from send(chosen.value["text"], history, *session_and_settings)

    def regenerate(chosen: gr.RetryData, history: History, *session_and_settings: Any) -> Iterator[tuple]:
        asked = history[chosen.index]
        yield from send(plain_text(asked["content"]), history[: chosen.index], *session_and_settings)

    def edit(chosen: gr.EditData, history: History, *session_and_settings: Any) -> Iterator[tuple]:
        yield from send(chosen.value, history[: chosen.index], *session_and_settings)

    def undo(chosen: gr.UndoData, history: History) -> tuple[str, History]:
        return plain_text(history[chosen.index]["content"]), history[: chosen.index]

    def chat(
        message: str,
        history: History | None = None,
        system_prompt: str = config.system_prompt or "",
        temperature: float = TEMPERATURE,
        top_p: float = TOP_P,
        top_k: int = TOP_K,
        repetition_penalty: float = REPETITION_PENALTY,
        max_new_tokens: int = MAX_NEW_TOKENS,
        seed: int = NEW_SEED,
    ) -> Iterator[str]:
        """Streams the answer to a message after the messages in `history`; each value is the whole answer so far."""
        settings = (system_prompt, temperature, top_p, top_k, repetition_penalty, max_new_tokens, seed)
        for conversation, *_ in answer([*(history or []), {"role": "user", "content": message}], None, *settings):
            yield conversation[-1]["content"]

    examples = [{"text": question} for question in EXAMPLE_QUESTIONS[config.language]]
    with gr.Blocks(title=title, fill_height=True, analytics_enabled=False) as demo:
        gr.Markdown(f"# {title}")
        chatbot = gr.Chatbot(label="Conversation", buttons=["copy", "copy_all"], examples=examples, scale=1)
        notice = gr.Markdown()
        with gr.Row(equal_height=True):
            box = gr.Textbox(
                label="Message", show_label=False, placeholder="Type a message…", max_lines=8, autofocus=True, scale=9
            )
            send_button = gr.Button("Send", variant="primary", scale=1, min_width=80)
            stop_button = gr.Button("Stop", variant="stop", scale=1, min_width=80, visible=False)
        with gr.Sidebar(label="Settings", position="right", open=False):
            gr.Markdown("### Settings\nThey hold from the next message on.")
            settings = settings_panel(config)
        session = gr.State()  # a tab's own, made with its first message

        page_only = {"api_visibility": "private"}  # scripts have `chat`
        inputs = [chatbot, session, *settings]
        outputs = [box, chatbot, session, notice, send_button, stop_button]
        streams = [
            gr.on([box.submit, send_button.click], send, [box, *inputs], outputs, trigger_mode="once", **page_only),
            chatbot.example_select(send_example, inputs, outputs, **page_only),
            chatbot.retry(regenerate, inputs, outputs, **page_only),
            chatbot.edit(edit, inputs, outputs, **page_only),
        ]
        stop_button.click(None, cancels=streams, **page_only)
        # Send comes back only after the frontend has forgotten the stream, whether it ended or was cancelled. A `.then`
        # of Stop itself would not wait for that, and the next message would be taken for one sent while another runs.
        for stream in streams:
            stream.then(lambda: send_or_stop(streaming=False), None, [send_button, stop_button], **page_only)
        chatbot.undo(undo, chatbot, [box, chatbot], **page_only)
        gr.api(chat, api_name="chat")
    return demo


def left_out(turns: int) -> str:
    """What the page says where the conversation has grown longer than what the model can read."""
    return f"The {turns} oldest turns were left out: the model can't read more at once." if turns else ""


def sentence(error: UserError | RuntimeError) -> str:
    """What the page says where a message could not be answered; its text goes back to the box."""
    if isinstance(error, UserError):
        return str(error)
    return f"The model failed ({str(error).strip().splitlines()[-1]}); please send the message again."


def send_or_stop(streaming: bool) -> tuple[gr.Button, gr.Button]:
    """The two buttons, of which one takes the other's place while an answer streams."""
    return gr.Button(visible=not streaming), gr.Button(visible=streaming)


def generation_settings(
    temperature: float, top_p: float, top_k: float, repetition_penalty: float, max_new_tokens: float, seed: float
) -> dict[str, Any]:
    """What the panel shows, as `ChatSession.stream` takes it: the page sends every number as a float."""
    return {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": int(top_k),
        "repetition_penalty": repetition_penalty,
        "max_new_tokens": int(max_new_tokens),
        "seed": int(seed) if seed >= 0 else None,
    }


def settings_panel(config: ModelConfig) -> list[gr.components.Component]:
    """What can be set: the system prompt, then what `generation_settings` takes, in its order."""
    return [
        gr.Textbox(config.system_prompt or "", label="System prompt", lines=2, info="What the model is told first."),
        gr.Slider(
            0, 2, TEMPERATURE, step=0.1, label="Temperature", info="Low: the likeliest words. High: surprising ones."
        ),
        gr.Slider(0.05, 1, TOP_P, step=0.05, label="Top-p", info="Only the likeliest words that together reach this."),
        gr.Slider(0, 200, TOP_K, step=1, label="Top-k", info="Only this many of the likeliest words; 0: all."),
        gr.Slider(
            1,
            2,
            REPETITION_PENALTY,
            step=0.05,
            label="Repetition penalty",
            info="Above 1, words are less often repeated.",
        ),
        gr.Slider(
            1,
            2048,
            MAX_NEW_TOKENS,
            step=1,
            label="Longest answer",
            info="In tokens, each about three quarters of a word.",
        ),
        gr.Number(
            NEW_SEED,
            label="Seed",
            precision=0,
            minimum=-1,
            info="The same seed, the same answer; -1: a new one each time.",
        ),
    ]


def plain_text(content: str | list[dict[str, Any]]) -> str:
    """A message's text, which comes as a string from the API and as a list of blocks from the page."""
    if isinstance(content, str):
        return content
    return "".join(block["text"] for block in content if block["type"] == "text")


def open_model(name: str, precision: str, device: str, root: Path) -> tuple[OVChatModel, PreTrainedTokenizerFast]:
    """Loads a catalogue model that was converted under `root`, with its tokenizer.

    Raises:
        UserError: no such model, precision or device, or it was not converted yet.
    """
    get_model_config(name)
    folder = model_folder(name, precision, root)
    if not is_complete(folder):
        raise UserError(f"{folder} is not there or not whole; run: python converter.py {name} --precision {precision}.")
    return load_model(folder, device), AutoTokenizer.from_pretrained(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description="Chat with a converted model in a browser.")
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"a model of the catalogue (default: {DEFAULT_MODEL})")
    parser.add_argument("--precision", default="INT4", help=f"one of: {', '.join(SUBFOLDERS)} (default: INT4)")
    parser.add_argument("--device", default="CPU", help="CPU, GPU, AUTO … (default: CPU)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default: 7860)")
    parser.add_argument("--output", type=Path, default=Path("."), help="folder of the converted models (default: .)")
    arguments = parser.parse_args()
    try:
        model, tokenizer = open_model(arguments.model, arguments.precision, arguments.device, arguments.output)
        title = f"{arguments.model} · {arguments.precision} · {arguments.device}"
        demo = make_demo(model, tokenizer, get_model_config(arguments.model), title)
        try:
            demo.launch(server_name=arguments.host, server_port=arguments.port, show_error=True)
        except (OSError, OverflowError) as error:
            place = f"Port {arguments.port} of {arguments.host}"
            raise UserError(f"{place} is taken or can't be used; choose another with --port.") from error
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
