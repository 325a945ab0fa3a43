"""Gets a model from within the page: what there is, and one conversion or measurement at a time, in its own process.

The page may not import the converter, which brings PyTorch and NNCF; it runs the command `convert`. What that process
does to itself, such as running out of memory, leaves the page alive. The command `measure`, which measures what
compression costs, needs the memory of all variants, and is run in the same way.
"""

import atexit
import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from filelock import FileLock, Timeout

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.errors import UserError
from llm_chatbot.folder.found import measured_variants
from llm_chatbot.folder.manifest import is_complete
from llm_chatbot.folder.place import SUBFOLDERS, as_precision, lock_file, model_folder, partial_folder, release_lock
from llm_chatbot.texts import model_description

CONVERTER = (sys.executable, "-m", "llm_chatbot.commands.convert")
MEASURE = (sys.executable, "-m", "llm_chatbot.commands.measure")

STEP = {"step", "done", "total", "unit"}  # of a line of `llm_chatbot.machine.json_progress`
LIST_SECONDS = 120  # for a list of models; reading many GGUF files on a slow disk takes a while
END_SECONDS = 5  # for a process to end by itself, when it was asked to

# A group of its own, so that Ctrl+C in the page's terminal reaches only the page, which then ends the conversion.
OWN_GROUP: dict[str, Any] = (
    {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
    if sys.platform == "win32"
    else {"start_new_session": True}
)


@dataclass(frozen=True)
class ConversionState:
    """How far a conversion or a measurement is.

    Attributes:
        name, precision: what is converted; precision is None where the model's variants are measured.
        phase: "running", "done", "failed" or "cancelled".
        step: what it does at the moment, in the converter's words.
        done, total, unit: of this step; total is None while that is unknown.
        error: as `Text.as_json`, if it failed; None if it ended without one, as a process does that was killed.
        exit_status: of the process; negative if a signal ended it.
    """

    name: str
    precision: str | None
    phase: Literal["running", "done", "failed", "cancelled"] = "running"
    step: str = "Starting"
    done: float = 0
    total: float | None = None
    unit: str = ""
    error: dict[str, Any] | None = None
    exit_status: int | None = None


class Work:
    """A process that says what step it is at, with a thread that follows it.

    Args:
        state: to begin with.
        command: of the process.
    """

    def __init__(self, state: ConversionState, command: Sequence[str]) -> None:
        self.state = state
        self._cancelled = False
        self._error: dict[str, Any] | None = None
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONUTF8": "1"},
            **OWN_GROUP,
        )
        self._thread = threading.Thread(target=self._follow, daemon=True, name="following a process")
        self._thread.start()

    def cancel(self) -> None:
        """Ends the process and what it started, and returns when nothing of it is left."""
        self._cancelled = True
        end_process(self.process)
        self._thread.join()

    def wait(self, timeout: float | None = None) -> None:
        """Returns when the process has ended and what it left was removed."""
        self._thread.join(timeout)

    def _follow(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._read(line)
        status = self.process.wait()
        self.clean_up()
        self.state = self._ended(status)

    def clean_up(self) -> None:
        """Removes what a process that was ended left."""

    def is_complete(self) -> bool:
        """Whether a process that ended well has done what it was for."""
        return True

    def _read(self, line: bytes) -> None:
        """A line that says what step the process is at, or why it fails. What a library prints is passed over."""
        try:
            values = json.loads(line)
        except ValueError:
            return
        if not isinstance(values, dict):
            return
        self._error = values.get("error", self._error)
        if values.keys() >= STEP:
            step = {name: values[name] for name in STEP}
            self.state = ConversionState(self.state.name, self.state.precision, **step)

    def _ended(self, status: int) -> ConversionState:
        begun = (self.state.name, self.state.precision)
        if status == 0 and self.is_complete():
            return ConversionState(*begun, "done", exit_status=status)
        if self._cancelled:
            return ConversionState(*begun, "cancelled", exit_status=status)
        return ConversionState(*begun, "failed", self.state.step, error=self._error, exit_status=status)


class Conversion(Work):
    """A process that converts a model.

    Args:
        name, precision, prebuilt: as `convert_model` takes them.
        root: the folder of converted models.
        command: of the converter.

    Raises:
        UserError: there is no such model or precision.
    """

    def __init__(
        self, name: str, precision: str, root: Path, command: Sequence[str] = CONVERTER, prebuilt: bool = False
    ) -> None:
        get_model_config(name)
        self.folder = model_folder(name, as_precision(precision), root)
        options = ["--precision", precision, "--output", str(root), "--progress", "json"]
        options += ["--prebuilt"] * prebuilt
        # After "--", a name is never taken for an option.
        super().__init__(ConversionState(name, precision), [*command, *options, "--", name])

    def clean_up(self) -> None:
        remove_unfinished(self.folder)

    def is_complete(self) -> bool:
        return is_complete(self.folder)


class Measurement(Work):
    """A process that measures a model's variants, and writes the figures beside them.

    Args:
        name: of the model.
        root: the folder of converted models.
        command: that measures; None: `llm_chatbot/commands/measure.py`.
    """

    def __init__(self, name: str, root: Path, command: Sequence[str] | None = None) -> None:
        folders = [str(folder.resolve()) for folder in variant_folders(name, root).values()]
        super().__init__(ConversionState(name, None), [*(command or MEASURE), "--progress", "json", "--", *folders])


class ModelGetter:
    """Serves the page's "Get a model" view. One process at a time: each may need most of the memory.

    Args:
        root: the folder of converted models.
        command: of the converter.
    """

    def __init__(self, root: Path, command: Sequence[str] = CONVERTER) -> None:
        self.root = root
        self._command = command
        self._work: Work | None = None
        self._starting = threading.Lock()
        atexit.register(self.close)

    def models(self) -> dict[str, Any]:
        """All models on hand; see `llm_chatbot.convert.facts.model_facts.all_models`. Takes a second or more.

        Each has its `descriptions` by language too, and what was `measured` of its variants; see `measured_variants`.

        Raises:
            UserError: the converter can't say.
        """
        return self._ask("--list", "--json", "--output", str(self.root))

    def model(self, name: str) -> dict[str, Any]:
        """The same of one model, which may be on the Hub.

        Raises:
            UserError: there is no such model, or the Hub can't be reached.
        """
        get_model_config(name)
        return self._ask("--info", "--json", "--output", str(self.root), "--", name)

    def convert(self, name: str, precision: str, prebuilt: bool = False) -> None:
        """Starts a conversion; see `Conversion`.

        Raises:
            UserError: there is no such model or precision, or another process is running.
        """
        self._start(lambda: Conversion(name, precision, self.root, self._command, prebuilt))

    def measure(self, name: str) -> None:
        """Starts to measure what compression costs, of the variants that are there.

        Raises:
            UserError: there is no such model, it isn't converted, or another process is running.
        """
        get_model_config(name)
        if not variant_folders(name, self.root):
            raise UserError("page.nothing_to_measure", name=name)
        self._start(lambda: Measurement(name, self.root))

    def _start(self, work: Callable[[], Work]) -> None:
        with self._starting:
            state = self._work.state if self._work else None
            if state and state.phase == "running":
                raise UserError("page.converting", name=state.name)
            self._work = work()

    def cancel(self) -> None:
        """Cancels what is running, if anything is."""
        if self._work:
            self._work.cancel()

    def state(self) -> dict[str, Any] | None:
        """How far the latest process is, as `ConversionState`; None if there was none."""
        return asdict(self._work.state) if self._work else None

    def close(self) -> None:
        """Ends the process when the page ends."""
        atexit.unregister(self.close)
        self.cancel()

    def _ask(self, *arguments: str) -> dict[str, Any]:
        command = [*self._command, *arguments]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LIST_SECONDS,
                env={**os.environ, "PYTHONUTF8": "1"},
            )
            answer = json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError) as error:
            raise UserError("page.no_list") from error
        if "error" in answer:
            raise UserError.from_json(answer["error"])
        return self._for_the_page(answer)

    def _for_the_page(self, facts: dict[str, Any]) -> dict[str, Any]:
        for model in facts.get("models", []):
            model["descriptions"] = model_description(model["name"], model.get("description", ""))
            folders = variant_folders(model["name"], self.root)
            model["measured"] = measured_variants(next(iter(folders.values())).parent) if folders else {}
        return facts


def variant_folders(name: str, root: Path) -> dict[str, Path]:
    """The complete folders of a model by precision."""
    folders = {precision: model_folder(name, precision, root) for precision in SUBFOLDERS}
    return {precision: folder for precision, folder in folders.items() if is_complete(folder)}


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all that it started: asks first where the system can ask, so that it can clean up.

    Takes END_SECONDS at most, for all of them together.
    """
    try:
        descendants = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return
    end = time.monotonic() + END_SECONDS
    process.terminate()
    # Only `process` waits for itself: psutil would take the exit status away, which then reads as 0.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    _, alive = psutil.wait_procs(descendants, timeout=max(0, end - time.monotonic()))
    for member in (process, *alive):
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()


def remove_unfinished(folder: Path) -> None:
    """Removes what a process that was killed left of a conversion to a folder, unless another process is at it."""
    if not folder.parent.is_dir():
        return
    lock = FileLock(lock_file(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return
    try:
        shutil.rmtree(partial_folder(folder), ignore_errors=True)
    finally:
        release_lock(lock, folder)
