"""Space on this machine's disks."""

import shutil
from pathlib import Path


def available_disk(folder: Path) -> int:
    """Bytes that are free on the disk that has, or will have, a folder."""
    folder = folder.absolute()
    return shutil.disk_usage(next(existing for existing in (folder, *folder.parents) if existing.is_dir())).free
