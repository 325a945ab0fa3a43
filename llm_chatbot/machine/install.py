"""Installs this project into the Python that runs this: `python llm_chatbot/machine/install.py [EXTRA…]`.

The same as `pip install -e '.[EXTRA,…]'` with the versions of requirements.txt, except that it removes a torchvision
that cannot be imported. It imports nothing that has to be installed.
"""

import importlib
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("convert", "notebook", "cluster", "dev", "book")

# Extras of distributions, which a file of constraints can't name.
DISTRIBUTION_EXTRAS = {"ray": "[serve]"}

SECTION = re.compile(r"# extra: (\w+)\b.*")


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)


def install(extras: tuple[str, ...]) -> None:
    """Installs the project where it is, with these extras and nothing newer than requirements.txt names."""
    wanted = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    pip("install", "-qq", "--constraint", str(ROOT / "requirements.txt"), "--editable", wanted)


def read_sections(text: str) -> dict[str, list[str]]:
    """The requirements of each extra; those before the first one are under the empty name."""
    sections: dict[str, list[str]] = {"": []}
    extra = ""
    for line in text.splitlines():
        if match := SECTION.fullmatch(line):
            extra = match[1]
        elif requirement := line.partition("#")[0].strip():
            name, _, pin = requirement.partition("==")
            sections.setdefault(extra, []).append(f"{name}{DISTRIBUTION_EXTRAS.get(name, '')}=={pin}")
    return sections


def is_installed(extras: tuple[str, ...]) -> bool:
    """Whether the project and the pinned versions of these extras are there: pip would reinstall torchvision each time.

    As for pip, a local build of the pinned version counts: 2.13.0+cpu is 2.13.0.
    """
    sections = read_sections((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    try:
        version("llm-chatbot")
        for requirement in (line for extra in ("", *extras) for line in sections[extra]):
            name, _, pin = requirement.partition("==")
            if version(name.partition("[")[0]).partition("+")[0] != pin:
                return False
    except PackageNotFoundError:
        return False
    return True


def remove_broken_torchvision() -> None:
    """Removes torchvision if it cannot be imported.

    optimum-intel requires it, but nothing here uses it. PyPI's Linux build needs a torch with CUDA: with a CPU-only
    torch its import fails with `operator torchvision::nms does not exist`, and so does `import optimum.intel`, which
    works without it.
    """
    importlib.invalidate_caches()  # pip may just have installed it
    if find_spec("torchvision") is None:
        return
    tried = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True)
    if tried.returncode:
        pip("uninstall", "--quiet", "--yes", "torchvision")


def main() -> None:
    extras = tuple(sys.argv[1:])
    if unknown := [extra for extra in extras if extra not in EXTRAS]:
        sys.exit(f"There is no extra {unknown[0]!r}; choose from: {', '.join(EXTRAS)}.")
    if not is_installed(extras):
        install(extras)
    remove_broken_torchvision()


if __name__ == "__main__":
    main()
