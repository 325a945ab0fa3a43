"""What the model reads again in a long conversation, without and with summaries of its oldest messages.

    python -m benchmarks.page_summaries --messages 60 --questions 8

Prints for each question: the tokens of its prompt, how many of them the model had read already, and how many turns were
left out or messages summarised. The page, its server and the embedded model are real; the conversation is imported.
"""

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from benchmarks.page_list import conversations, import_conversations
from llm_chatbot.answering.models import open_loaded_model
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.folder.place import AS_IN_FILE
from tests.browser import open_browser
from tests.page_visit import Server, Visit

QUESTIONS = ("Name the capital of France.", "And of Italy?", "Which of the two is larger?", "What is a harbour?")
IDLE = 120_000  # milliseconds for an answer, or a summary


def asked(visit: Visit, messages: int, questions: int, summaries: bool) -> list[dict[str, Any]]:
    """The answers to so many questions after an imported conversation, as they are stored."""
    expect.set_options(timeout=IDLE)
    visit.page.evaluate("(value) => localStorage.setItem('llm-chatbot.summaries', value)", "on" if summaries else "off")
    visit.page.evaluate("localStorage.setItem('llm-chatbot.titles', 'off')")
    visit.set(max_new_tokens="80")
    import_conversations(visit, conversations(1, messages, seed=2 + summaries))
    visit.names.first.click()
    expect(visit.answers).to_have_count(messages // 2)
    for place in range(questions):
        visit.ask(QUESTIONS[place % len(QUESTIONS)])
        if summaries and place == 0:
            visit.page.locator(".summarised").wait_for(timeout=IDLE)
    return [message for message in visit.stored() if message.get("figures")]


def described(answer: dict[str, Any]) -> str:
    figures = answer["figures"]
    return (
        f"prompt {figures['prompt_tokens']}, cached {figures['cached_tokens']}, "
        f"first token {figures['time_to_first_token']:.2f} s, left out {answer['left_out']} turns, "
        f"summarised {answer.get('summarised') or 0} messages"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=60)
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--kv-cache-gb", type=float, help="less of it shortens the context")
    parser.add_argument("--models", type=Path, help="folder with converted models (default: a temporary one)")
    arguments = parser.parse_args()
    root = arguments.models or Path(tempfile.mkdtemp())
    convert_model(DEFAULT_MODEL, output_root=root)
    server = Server(
        open_loaded_model(DEFAULT_MODEL, AS_IN_FILE, "CPU", root, may_be_file=False, kv_cache_gb=arguments.kv_cache_gb),
        root,
    )
    with open_browser() as browser:
        for summaries in (False, True):
            with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
                visit = Visit(context, server)
                answers = asked(visit, arguments.messages, arguments.questions, summaries)
                print("with summaries" if summaries else "without summaries")
                print("\n".join(map(described, answers)))
                if summaries:
                    written = [message for message in visit.stored() if message["role"] == "summary"]
                    print(*(re.sub(r"\s+", " ", message["content"]) for message in written), sep="\n")
    server.stop()


if __name__ == "__main__":
    main()
