"""Installs this project into the Python that runs this: `python llm_chatbot/machine/install.py [EXTRA…]`.

The same as `pip install -e '.[EXTRA,…]'` with the versions of requirements.txt, except that it removes a torchvision
that cannot be imported. It imports nothing that has to be installed.
"""

import importlib
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("convert", "notebook", "cluster", "dev")


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)


def install(extras: tuple[str, ...]) -> None:
    """Installs the project where it is, with these extras and nothing newer than requirements.txt names."""
    wanted = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    pip("install", "-qq", "--constraint", str(ROOT / "requirements.txt"), "--editable", wanted)


def is_installed(extras: tuple[str, ...]) -> bool:
    """Whether the project and the pinned versions of these extras are there: pip would reinstall torchvision each time.

    As for pip, a local build of the pinned version counts: 2.13.0+cpu is 2.13.0.
    """
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", lines, re.MULTILINE))
    try:
        for requirement in requires("llm-chatbot") or ():
            name, _, marker = requirement.partition(";")
            extra = re.search(r"extra == ['\"](\w+)['\"]", marker)
            name = re.split(r"[\[=]", name)[0].strip()
            if (not extra or extra[1] in extras) and version(name).partition("+")[0] != pins.get(name):
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
