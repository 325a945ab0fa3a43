import subprocess
import sys
from pathlib import Path

import pytest

from llm_chatbot.machine.deferred_import import defer_import, leave_out


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that says when it is loaded, and whose parts need it."""
    folder = tmp_path / "slow_library"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "import builtins, time\nbuiltins.loaded += 1\ntime.sleep(0.1)\nANSWER = 42\nfrom slow_library import part\n",
        encoding="utf-8",
    )
    (folder / "part.py").write_text("from slow_library import ANSWER\nTWICE = 2 * ANSWER\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return str(tmp_path)


def ran(library: str, code: str) -> str:
    """What a process prints that defers the library, and counts how often it is loaded."""
    start = f"import builtins, sys; sys.path.insert(0, {library!r}); builtins.loaded = 0\n"
    start += "from llm_chatbot.machine.deferred_import import defer_import; defer_import('slow_library')\n"
    command = [sys.executable, "-c", start + code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_imports_alone_load_nothing(library: str) -> None:
    assert ran(library, "import slow_library\nimport slow_library as again\nprint(loaded)") == "0"


def test_whoever_uses_it_first_has_it_loaded_once(library: str) -> None:
    code = (
        "import slow_library\nprint(slow_library.ANSWER, slow_library.part.TWICE, loaded, type(slow_library).__name__)"
    )
    assert ran(library, code) == "42 84 1 module"


def test_a_part_of_it_can_be_imported_first(library: str) -> None:
    assert ran(library, "from slow_library.part import TWICE\nimport slow_library\nprint(TWICE, loaded)") == "84 1"


def test_threads_that_use_it_at_once_have_it_whole(library: str) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
import slow_library
with ThreadPoolExecutor(8) as pool:
    print({*pool.map(lambda _: slow_library.part.TWICE, range(8))}, loaded)
"""
    assert ran(library, code) == "{84} 1"


def test_a_library_that_is_not_there_or_is_imported_already_is_left_alone() -> None:
    defer_import("no_such_library")
    assert "no_such_library" not in sys.modules
    before = sys.modules["subprocess"]
    defer_import("subprocess")
    assert sys.modules["subprocess"] is before


def test_what_is_left_out_seems_not_to_be_installed_unless_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "this", pytest)  # so that the entry is gone after this test
    monkeypatch.delitem(sys.modules, "this")
    leave_out("this", "subprocess")
    with pytest.raises(ModuleNotFoundError):
        __import__("this")
    assert __import__("subprocess") is subprocess
