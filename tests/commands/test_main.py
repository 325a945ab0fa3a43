"""`llm-chatbot` itself: which command it runs, and what it says before it imports one."""

import subprocess
import sys

import pytest

from llm_chatbot import __version__
from llm_chatbot.commands.main import COMMANDS, main


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_names_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in COMMANDS)


def test_an_unknown_command_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]):
    assert main(["chatt"]) == 2
    assert f"choose one of: {', '.join(COMMANDS)}." in capsys.readouterr().err


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"llm-chatbot {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0 and f"usage: llm-chatbot {name}" in capsys.readouterr().out


def test_help_imports_no_engine_and_no_page():
    code = (
        "import sys; from llm_chatbot.commands.main import main; main(['--help']);"
        "print(sorted({'openvino', 'numpy', 'gradio', 'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout.endswith("\n[]\n")
