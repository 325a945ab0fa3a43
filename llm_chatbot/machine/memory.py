"""This machine's memory: what is available, and returning what was freed."""

import ctypes
import mmap
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

# How often memory is given back meanwhile, in seconds.
INTERVAL = 0.02


def available_memory(root: Path = Path("/")) -> int:
    """Bytes of memory this process can use without swapping: the machine's, or what a container's limit leaves.

    psutil sees only the machine. The kernel's files: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory and
    https://docs.kernel.org/admin-guide/cgroup-v1/memory.html.

    Args:
        root: of the file system with `proc` and `sys`.
    """
    return min([psutil.virtual_memory().available, *_left_in_control_groups(root)])


def _left_in_control_groups(root: Path) -> Iterator[int]:
    """The bytes that each control group above this process leaves; nothing where there are none."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):  # version 1
            mount = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # A limit applies to all groups below. In a container, the path may be the host's: then the mount is the group.
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(mount) and (left := _left_in(folder, *names)) is not None:
                yield left


def _left_in(group: Path, limit: str, usage: str, reclaimable: str) -> int | None:
    """A control group's limit, less its usage, but for the file cache that it can drop; None if it has no limit."""
    try:
        most = (group / limit).read_text(encoding="utf-8").strip()
        if most == "max":
            return None
        used = int((group / usage).read_text(encoding="utf-8"))
        statistics = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
    except OSError:  # the root group has no such files
        return None
    return max(0, int(most) - used + int(statistics.get(reclaimable, 0)))


def return_freed_memory() -> None:
    """Returns freed memory to the system. glibc would keep over a gigabyte of it in fragments."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


@contextmanager
def released_meanwhile(maps: Sequence[mmap.mmap]) -> Iterator[None]:
    """Takes mapped files out of memory again and again, and once in the end; on Windows only the system does that.

    What is needed again is read from the file.

    Args:
        maps: other threads may add to them.
    """
    done = threading.Event()

    def release() -> None:
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapped in list(maps):
                mapped.madvise(mmap.MADV_DONTNEED)

    def repeat() -> None:
        while not done.wait(INTERVAL):
            release()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        release()
