"""Reads files in a process of its own: a file that crashes a library, or keeps it busy, costs one sentence."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from llm_chatbot.errors import UserError
from llm_chatbot.knowledge.readers.file_text import FileText

FILE_SECONDS = 120.0  # that a file may take
MEMORY = 4 * 1024**3  # that reading one may take, where the system can limit it


class FileReader:
    """A process that reads files, started when the first is read, and again after one that ended it.

    Args:
        seconds: that a file may take.
    """

    def __init__(self, seconds: float = FILE_SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def read(self, path: Path) -> FileText:
        """The text of a file.

        Raises:
            UserError: see `readers.read.read_any`; or reading it took too long, or ended the process.
        """
        process = self._process = self._process or _start()
        timer = threading.Timer(self._seconds, process.kill)
        timer.start()
        try:
            answer = _ask(process, path)
        finally:
            timed_out = not timer.is_alive()
            timer.cancel()
        if answer is None:
            self.close()
            if timed_out:
                raise UserError("knowledge.file_too_slow", name=path.name, seconds=f"{self._seconds:g}")
            raise UserError("knowledge.file_damaged", name=path.name)
        if "error" in answer:
            raise UserError.from_json(answer["error"])
        return FileText.from_json(answer)


def _start() -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "llm_chatbot.knowledge.reading"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, **pipes, text=True, encoding="utf-8", cwd=Path(__file__).resolve().parents[2])


def _ask(process: "subprocess.Popen[str]", path: Path) -> dict[str, Any] | None:
    """The answer to a path; None if the process ended."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(str(path.absolute())) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except (OSError, ValueError):
        return None
    return json.loads(line) if line.endswith("\n") else None


def serve_paths(asked: IO[str], answers: IO[str]) -> None:
    """Reads the files whose paths are asked for, each a line of JSON, and answers each with a line."""
    from llm_chatbot.knowledge.readers.read import MAX_FILE_BYTES, read_any

    for line in asked:
        path = Path(json.loads(line))
        try:
            answer = read_any(path).as_json()
        except UserError as error:
            answer = {"error": error.as_json()}
        except MemoryError:
            answer = {
                "error": UserError(
                    "knowledge.file_too_large", name=path.name, limit=MAX_FILE_BYTES // 1024**2
                ).as_json()
            }
        except OSError as error:
            reason = error.strerror or str(error)
            answer = {"error": UserError("knowledge.file_unreadable", name=path.name, reason=reason).as_json()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def limit_memory() -> None:
    """Lets an allocation fail before the machine has none left. Windows has no such limit."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))


if __name__ == "__main__":
    limit_memory()
    # What a library prints would stand between the answers.
    channel, sys.stdout = sys.stdout, sys.stderr
    serve_paths(sys.stdin, channel)
