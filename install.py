"""Installs the requirements into the Python that runs this: `python install.py [--dev]`.

The same as `pip install -r requirements.txt`, except that it removes a torchvision that cannot be imported.
"""

import importlib
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)


def is_installed(requirements: Path) -> bool:
    """Whether every pinned version is installed. pip itself would reinstall torchvision each time.

    As for pip, a local build of the pinned version counts: 2.13.0+cpu is 2.13.0. A line that is more than
    `name==version` is left to pip.
    """
    lines = [line.partition("#")[0].strip() for line in requirements.read_text(encoding="utf-8").splitlines()]
    return all(is_satisfied(line) for line in lines if line)


def is_satisfied(requirement: str) -> bool:
    name, _, pin = requirement.partition("==")
    try:
        return version(name).partition("+")[0] == pin
    except PackageNotFoundError:
        return False


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
    here = Path(__file__).resolve().parent
    files = [here / "requirements.txt"]
    if "--dev" in sys.argv[1:]:
        files.append(here / "requirements-dev.txt")
    for file in files:
        if not is_installed(file):
            pip("install", "-qq", "-r", str(file))
    remove_broken_torchvision()


if __name__ == "__main__":
    main()
