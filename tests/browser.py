"""The browser of the tests: Playwright's own where it is installed, otherwise one that the machine has.

    python tests/browser.py

installs Playwright's where there is none at all.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")


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


def main() -> int:
    if machine_browser():
        return 0
    return subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"]).returncode


if __name__ == "__main__":
    sys.exit(main())
