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


def make_demo(model: OVChatModel, tokenizer: PreTrainedTokenizerFast, config: ModelConfig, title: str) -> gr.Blocks:
    """A page on which any number of people chat with the model, each in a conversation of their own.

    Args:
        model: what `load_model` returned.
        tokenizer: of the same folder.
        config: the catalogue's row, for the system prompt and the example questions.
        title: the heading of the page.
    """

    def answer(
        text: str, history: list[dict[str, Any]], session: ChatSession | None, *settings: Any
    ) -> Iterator[tuple[str, ChatSession]]:
        """Streams the model's answer to a message: each value is the whole answer so far."""
        system_prompt, temperature, top_p, top_k, repetition_penalty, max_new_tokens, seed = settings
        session = session or ChatSession(model, tokenizer)
        session.system_prompt = system_prompt or None
        session.messages = [{"role": turn["role"], "content": plain_text(turn["content"])} for turn in history]
        for partial in session.stream(
            text,
            temperature=temperature,
            top_p=top_p,
            top_k=int(top_k),
            repetition_penalty=repetition_penalty,
            max_new_tokens=int(max_new_tokens),
            seed=None if seed < 0 else int(seed),
        ):
            yield partial.text, session

    with gr.Blocks(title=title, fill_height=True, analytics_enabled=False) as demo:
        session = gr.State()  # a tab's own, made with its first message
        with gr.Sidebar(label="Settings", position="right", open=False):
            gr.Markdown("### Settings\nThey hold from the next message on.")
            settings = settings_panel(config)
        gr.ChatInterface(
            answer,
            title=title,
            chatbot=gr.Chatbot(label="Conversation", buttons=["copy", "copy_all"], scale=1),
            textbox=gr.Textbox(
                placeholder="Type a message…",
                show_label=False,
                autofocus=True,
                max_lines=8,
                scale=7,
                submit_btn=True,
                stop_btn=True,
            ),
            additional_inputs=[session, *settings],
            additional_outputs=[session],
            examples=[[question] for question in EXAMPLE_QUESTIONS[config.language]],
            editable=True,
            flagging_mode="never",
            fill_height=True,
            api_name="chat",
        )
    return demo


def settings_panel(config: ModelConfig) -> list[gr.components.Component]:
    """What can be set, in the order in which `answer` takes it."""
    return [
        gr.Textbox(config.system_prompt or "", label="System prompt", lines=2, info="What the model is told first."),
        gr.Slider(0, 2, 0.1, step=0.1, label="Temperature", info="Low: the likeliest words. High: surprising ones."),
        gr.Slider(0.05, 1, 1, step=0.05, label="Top-p", info="Only the likeliest words that together reach this."),
        gr.Slider(0, 200, 50, step=1, label="Top-k", info="Only this many of the likeliest words; 0: all."),
        gr.Slider(1, 2, 1.1, step=0.05, label="Repetition penalty", info="Above 1, words are less often repeated."),
        gr.Slider(1, 2048, 256, step=1, label="Longest answer", info="In tokens, each about three quarters of a word."),
        gr.Number(
            -1, label="Seed", precision=0, minimum=-1, info="The same seed, the same answer; -1: a new one each time."
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
        except OSError as error:
            raise UserError(f"Port {arguments.port} is taken; choose another with --port.") from error
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
