"""Measures what a newcomer waits for: from a fresh clone with an empty home to the chat page, and the bytes received.

    python -m benchmarks.first_start

Clones this checkout's last commit into a temporary folder, runs `make chat` there, and waits for the page. Nothing of
this user's caches is used, but for what the machine's package index keeps. The bytes are those of all network
interfaces but the machine's own (lo), so nothing else should use the network. Needs `git` and `make`.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.start import ROOT, free_port, wait_for

# The rest of the environment is another user's: nothing that names a cache, a token or a folder of models.
KEPT = ("PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL")


def received() -> int:
    """Bytes that came over the network since the machine started."""
    counters = psutil.net_io_counters(pernic=True)
    return sum(counter.bytes_recv for name, counter in counters.items() if name != "lo")


def first_page(clone: Path, home: Path) -> None:
    """Runs `make chat` until the page listens."""
    port = free_port()
    environment = {name: os.environ[name] for name in KEPT if name in os.environ} | {"HOME": str(home)}
    page = subprocess.Popen(
        ["make", "chat", f"PORT={port}"], cwd=clone, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for(port, page)
    finally:
        os.killpg(page.pid, signal.SIGTERM)
        page.wait()


def main() -> int:
    with TemporaryDirectory() as folder:
        clone, home = Path(folder, "clone"), Path(folder, "home")
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        before, start = received(), time.perf_counter()
        first_page(clone, home)
        print(f"make chat, fresh clone, to the page: {time.perf_counter() - start:.0f} s")
        print(f"received: {(received() - before) / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
