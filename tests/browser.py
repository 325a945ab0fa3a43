"""The browsers of the tests: Chromium, Playwright's own or one that the machine has, and the machine's Firefox.

    python tests/browser.py

installs those that don't open, and says in one sentence what to do where that doesn't work.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from playwright.sync_api import Browser, Error, Playwright, sync_playwright

# The commands by which a machine knows each. Chromium without windows first: a visit takes half the work.
COMMANDS = {
    "chromium": ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome", "msedge"),
    "firefox": ("firefox-esr", "firefox"),
}
REMEDIES = {
    "chromium": "install Chromium or Chrome so that `chromium` is on the PATH.",
    "firefox": "install Firefox so that `firefox` is on the PATH (Debian: apt install firefox-esr).",
}


@contextmanager
def open_browser(name: str = "chromium") -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright, name)
        yield browser
        browser.close()


def launch(playwright: Playwright, name: str, dark: bool = False) -> Browser:
    """Starts Chromium or Firefox.

    Firefox is the one that people have, which Playwright drives by WebDriver BiDi, and not Playwright's patched one.

    Args:
        dark: pages are to be dark in Firefox, which can't be told later as Chromium can.
    """
    if name == "firefox":
        preferences: dict[str, bool | float | str] = {
            "dom.events.testing.asyncClipboard": True,  # read without asking
            "layout.css.prefers-color-scheme.content-override": 0 if dark else 1,
        }
        path = machine_browser(name)
        return playwright.firefox.launch(channel="moz-firefox", executable_path=path, firefox_user_prefs=preferences)
    has_own = Path(playwright.chromium.executable_path).is_file()  # beside it is one without windows, the default
    return playwright.chromium.launch(executable_path=None if has_own else machine_browser(name))


def permissions(browser: Browser) -> list[str]:
    """The permissions of a test that uses the clipboard; Firefox is started with it."""
    return ["clipboard-read", "clipboard-write"] if browser.browser_type.name == "chromium" else []


def machine_browser(name: str) -> str | None:
    return next(filter(None, map(shutil.which, COMMANDS[name])), None)


def opens(name: str) -> bool:
    """Whether there is such a browser, with all libraries that it needs."""
    try:
        with open_browser(name) as browser:
            browser.new_page()
            return True
    except Error:
        return False


def install_playwrights_with_libraries() -> None:
    subprocess.run([sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"])


def install_distributions(package: str) -> None:
    """A package of Debian or Ubuntu."""
    if shutil.which("apt-get") is None:
        return
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            return
        apt = ["sudo", *apt]
    subprocess.run([*apt, "update"])
    subprocess.run([*apt, "install", "--yes", package])


def install_playwrights() -> None:
    """For a machine that has the libraries, and where nobody may install any."""
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"])


WAYS: dict[str, dict[str, Callable[[], None]]] = {
    "chromium": {
        "Playwright's Chromium with its system libraries": install_playwrights_with_libraries,
        "Debian's Chromium without windows": partial(install_distributions, "chromium-headless-shell"),
        "the distribution's Chromium": partial(install_distributions, "chromium"),
        "Playwright's Chromium alone": install_playwrights,
    },
    "firefox": {"the distribution's Firefox": partial(install_distributions, "firefox-esr")},
}


def install(browser: str) -> bool:
    """Whether the browser opens, at last."""
    if opens(browser):
        return True
    for name, way in WAYS[browser].items():
        print(f"Installing a browser for the tests: {name}.", flush=True)
        way()
        if opens(browser):
            return True
        print(f"That didn't work: {name}.", flush=True)
    print(f"No {browser.title()} for the tests could be installed; {REMEDIES[browser]}", file=sys.stderr)
    return False


def main() -> int:
    return 0 if all(install(browser) for browser in WAYS) else 1


if __name__ == "__main__":
    sys.exit(main())
