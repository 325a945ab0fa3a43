"""`llm-chatbot ask`, as a process of its own with the embedded model."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.commands.ask import parser
from llm_chatbot.commands.options import STOPPED
from llm_chatbot.folder.manifest import write_manifest
from llm_chatbot.folder.place import model_folder
from tests.pictures import picture_file

QUESTION = "Name the capital of France."  # a small model knows it in every arithmetic
TIMEOUT = 120  # seconds, for a busy machine


def command(models_root: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "llm_chatbot", "ask", "--output", str(models_root), *arguments]


def ask(models_root: Path, *arguments: str, typed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(models_root, *arguments), input=typed, capture_output=True, timeout=TIMEOUT)


def test_a_question_is_an_argument(models_root: Path):
    done = ask(models_root, "smollm2-135m-instruct", QUESTION)
    assert (done.returncode, done.stderr) == (0, b"") and b"Paris" in done.stdout


def test_options_may_stand_between_the_model_and_the_question():
    given = parser().parse_intermixed_args(["some-model", "--precision", "INT8", "Why?", "--device", "GPU"])
    assert (given.model, given.question, given.precision, given.device) == ("some-model", "Why?", "INT8", "GPU")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_question_in_the_standard_input_has_no_line_break_at_its_end(models_root: Path, end: str):
    done = ask(models_root, "--max-new-tokens", "20", typed=(QUESTION + end).encode())
    assert done.returncode == 0 and b"Paris" in done.stdout


@pytest.mark.parametrize(("typed", "expected"), [(b" \n", b"There is no question"), (b"\xff\xfe?", b"is not UTF-8")])
def test_a_question_that_cannot_be_read_is_one_sentence(models_root: Path, typed: bytes, expected: bytes):
    done = ask(models_root, typed=typed)
    assert (done.returncode, done.stdout) == (2, b"") and expected in done.stderr and done.stderr.count(b"\n") == 1


def test_a_picture_belongs_to_the_question(image_folder: Callable[[str], tuple[Path, Path]], tmp_path: Path):
    checkpoint, folder = image_folder("llava")
    picture = tmp_path / "picture.png"
    picture.write_bytes(picture_file(50, 40))
    asked = (str(checkpoint), QUESTION, "--precision", "FP16", "--max-new-tokens", "4")
    answers = [ask(folder.parents[1], *asked, *image) for image in ((), ("--image", str(picture)))]
    assert [(done.returncode, done.stderr) for done in answers] == [(0, b"")] * 2
    assert answers[0].stdout != answers[1].stdout
    done = ask(folder.parents[1], *asked, "--image", str(tmp_path / "none.png"))
    assert (done.returncode, done.stdout) == (2, b"") and b"none.png can't be read" in done.stderr


def endless_model(models_root: Path, root: Path) -> None:
    """Writes to `root` an embedded model that no token stops: its answers end where its context does."""
    folder = model_folder(DEFAULT_MODEL, "INT4", root)
    shutil.copytree(model_folder(DEFAULT_MODEL, "INT4", models_root), folder)
    (folder / "generation_config.json").write_text("{}", encoding="utf-8")
    write_manifest(folder)


def test_ctrl_c_stops_an_answer_and_keeps_what_was_written(models_root: Path, tmp_path: Path):
    endless_model(models_root, tmp_path)
    arguments = command(tmp_path, "--precision", "INT4", DEFAULT_MODEL, "Count from 1 to 1000 in words.")
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & doesn't hear it
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    signal.signal(signal.SIGINT, heard)
    assert process.stdout is not None
    first = process.stdout.read(5)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, errors) == (STOPPED, b"")
    assert len(first) == 5 and rest.endswith(b"\n") and len(rest) < 4000


def test_a_conversation_in_a_terminal_remembers_what_was_said(models_root: Path):
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "dumb"}
    process = subprocess.Popen(
        command(models_root), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    os.write(ours, f"{QUESTION}\nWhich city did you name?\n\x04".encode())
    answers, errors = process.communicate(timeout=TIMEOUT)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0 and errors.startswith(b"Ctrl+C stops an answer")
    assert answers.count(b"Paris") >= 2
