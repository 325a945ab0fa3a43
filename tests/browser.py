"""The browser of the tests: Playwright's own where it is installed, otherwise one that the machine has.

    python tests/browser.py

installs one where none opens, and says in one sentence what to do where that doesn't work.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Error, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
REMEDY = "No browser for the tests could be installed; install Chromium or Chrome so that `chromium` is on the PATH."


@contextmanager
def open_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        path = own if own.is_file() else machine_browser()
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


def machine_browser() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def opens() -> bool:
    """Whether there is a browser, with all libraries that it needs."""
    try:
        with open_browser():
            return True
    except Error:
        return False


def install_playwrights_with_libraries() -> None:
    subprocess.run([sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"])


def install_distributions() -> None:
    """Debian's and Ubuntu's package."""
    if shutil.which("apt-get") is None:
        return
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            return
        apt = ["sudo", *apt]
    subprocess.run([*apt, "update"])
    subprocess.run([*apt, "install", "--yes", "chromium"])


def install_playwrights() -> None:
    """For a machine that has the libraries, and where nobody may install any."""
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"])


WAYS: dict[str, Callable[[], None]] = {
    "Playwright's Chromium with its system libraries": install_playwrights_with_libraries,
    "the distribution's Chromium": install_distributions,
    "Playwright's Chromium alone": install_playwrights,
}


def main() -> int:
    if opens():
        return 0
    for name, install in WAYS.items():
        print(f"Installing a browser for the tests: {name}.", flush=True)
        install()
        if opens():
            return 0
        print(f"That didn't work: {name}.", flush=True)
    print(REMEDY, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
