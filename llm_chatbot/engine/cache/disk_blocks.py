"""Blocks of keys and values in files, so that a conversation that was read is not read again after a restart.

A folder for each model holds segments: files that one process writes and all may read. A segment begins with a header
and a table of entries, one for each block, and the blocks follow. A block is found by the digest of all tokens up to
its end, and has a checksum. It is written before its entry, so that a process that is killed leaves an empty entry
behind. Segments are read and not mapped: the system kills a process that has mapped a file which another one cuts.
"""

import hashlib
import itertools
import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llm_chatbot.machine.cache import cache_folder
from llm_chatbot.machine.disk import available_disk

# All models together, in bytes; the second one: of what is free on the disk with what the segments take already.
MAX_BYTES = 4_000_000_000
SHARE_OF_DISK = 0.1

# What was written is deleted after this time, though it was read meanwhile: a text is gone after a known time.
MAX_AGE = 7 * 24 * 3600.0  # seconds

SEGMENT_BYTES = 64_000_000
MIN_BLOCKS, MAX_BLOCKS = 8, 1024  # in a segment

MAGIC = b"LLMKV\x00\x00\x02"
HEADER = struct.Struct("<8s32sI")  # magic, model, number of blocks; then their CRC-32
CHECKSUM = struct.Struct("<I")
DIGEST_BYTES = 16
SEGMENT_SUFFIX = ".blocks"
OPEN_FLAGS = getattr(os, "O_BINARY", 0)


def digest_of(before: bytes, ids: Sequence[int]) -> bytes:
    """The digest of a text that ends with a block of tokens, by the digest of the text before them."""
    return hashlib.blake2b(before + packed(ids), digest_size=DIGEST_BYTES).digest()


def packed(ids: Sequence[int]) -> bytes:
    """Tokens as 64-bit integers: those that stand for pictures are that large."""
    return np.array(ids, dtype="<i8").tobytes()


def blocks_folder() -> Path:
    """Where the segments of all models are."""
    return cache_folder() / "conversations"


@dataclass(frozen=True)
class Layout:
    """How the segments of a model are laid out.

    Attributes:
        model: 32 bytes that tell apart whatever keys and values depend on.
        block_bytes: the size of a block over all layers.
        block_size: tokens per block.
    """

    model: bytes
    block_bytes: int
    block_size: int

    @property
    def entry(self) -> struct.Struct:
        """Digest, tokens and the block's CRC-32; then their CRC-32."""
        return struct.Struct(f"<{DIGEST_BYTES}s{8 * self.block_size}sI")

    @property
    def entry_bytes(self) -> int:
        return self.entry.size + CHECKSUM.size

    @property
    def blocks(self) -> int:
        """The blocks of a new segment."""
        return min(max(SEGMENT_BYTES // self.block_bytes, MIN_BLOCKS), MAX_BLOCKS)

    def header(self) -> bytes:
        return with_checksum(HEADER.pack(MAGIC, self.model, self.blocks))

    def entry_place(self, slot: int) -> int:
        return HEADER.size + CHECKSUM.size + slot * self.entry_bytes

    def block_place(self, slot: int) -> int:
        return self.entry_place(self.blocks) + slot * self.block_bytes


@dataclass
class Place:
    """Where a block is.

    Attributes:
        path, slot: its segment, and its number there.
        ids: its tokens; see `packed`.
        checksum: its CRC-32.
    """

    path: Path
    slot: int
    ids: bytes
    checksum: int


class DiskBlocks:
    """The blocks of one model on the disk. A damaged or foreign file is ignored.

    One thread may write while others read.

    Args:
        root: the folder for all models; see `blocks_folder`.
        layout: of this model's segments.
    """

    def __init__(self, root: Path, layout: Layout) -> None:
        """
        Raises:
            OSError: the folder can't be made, or others may read it and this user can't change that.
        """
        self._root, self._layout = root, layout
        self._folder = root / layout.model.hex()[:16]
        for folder in (root, self._folder):
            make_private(folder)
        self.prune()
        self._places: dict[bytes, Place] = {}
        for path in segments(self._folder):
            self._places |= self._read_entries(path)
        self._own: Path | None = None  # the segment that this process writes
        self._used = 0  # blocks in it

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._places

    def read(self, digest: bytes, ids: Sequence[int]) -> np.ndarray | None:
        """A block, uint8 [block_bytes]; None if it is not there or damaged.

        Args:
            digest: see `digest_of`.
            ids: its tokens.
        """
        place = self._places.get(digest)
        if place is None or place.ids != packed(ids):
            return None
        content = np.empty(self._layout.block_bytes, dtype=np.uint8)
        try:
            with place.path.open("rb", buffering=0) as file:
                file.seek(self._layout.block_place(place.slot))
                is_whole = file.readinto(content.data) == content.size
        except OSError:
            is_whole = False
        if not is_whole or zlib.crc32(content.data) != place.checksum:
            self._places.pop(digest, None)
            return None
        return content

    def write(self, digest: bytes, ids: Sequence[int], content: np.ndarray) -> bool:
        """Writes a block that is not there yet.

        Args:
            digest, ids: as for `read`.
            content: contiguous uint8 [block_bytes].

        Returns:
            False if there is no room for it.

        Raises:
            OSError: the disk is full or not writable.
        """
        if self._own is None or self._used == self._layout.blocks or not self._own.exists():
            self._own, self._used = self._new_segment(), 0
        if self._own is None:
            return False
        layout, slot, checksum = self._layout, self._used, zlib.crc32(content.data)
        with self._own.open("r+b", buffering=0) as file:
            write_at(file.fileno(), layout.block_place(slot), content.data)
            entry = layout.entry.pack(digest, packed(ids), checksum)
            write_at(file.fileno(), layout.entry_place(slot), with_checksum(entry))
        self._used += 1
        self._places[digest] = Place(self._own, slot, packed(ids), checksum)
        return True

    def prune(self) -> None:
        """Deletes what is too old.

        Raises:
            OSError: the disk can't be read.
        """
        prune(self._root, 0)

    def _new_segment(self) -> Path | None:
        """An empty segment; None: there is no room for one. Older ones are deleted for it."""
        layout = self._layout
        size = layout.block_place(layout.blocks)
        if not prune(self._root, size):
            return None
        make_private(self._folder)
        path = self._folder / f"{int(time.time())}-{secrets.token_hex(8)}{SEGMENT_SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | OPEN_FLAGS, 0o600)
        try:
            write_at(descriptor, 0, layout.header() + bytes(layout.blocks * layout.entry_bytes))
        finally:
            os.close(descriptor)
        return path

    def _read_entries(self, path: Path) -> dict[bytes, Place]:
        """The blocks that a segment has; none if it is not one of this model's."""
        layout = self._layout
        try:
            with path.open("rb") as file:
                if file.read(HEADER.size + CHECKSUM.size) != layout.header():
                    return {}
                table = file.read(layout.blocks * layout.entry_bytes)
        except OSError:
            return {}
        size, found = layout.entry_bytes, {}
        for slot in range(len(table) // size):
            content, checksum = split_checksum(table[slot * size : (slot + 1) * size])
            if zlib.crc32(content) == checksum and any(content):
                digest, ids, block_checksum = layout.entry.unpack(content)
                found[digest] = Place(path, slot, ids, block_checksum)
        return found


def write_at(descriptor: int, place: int, content: bytes | memoryview) -> None:
    """Writes all of it at a place of a file.

    Raises:
        OSError: the disk is full.
    """
    os.lseek(descriptor, place, os.SEEK_SET)
    rest = memoryview(content).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def with_checksum(content: bytes) -> bytes:
    return content + CHECKSUM.pack(zlib.crc32(content))


def split_checksum(content: bytes) -> tuple[bytes, int]:
    return content[: -CHECKSUM.size], *CHECKSUM.unpack(content[-CHECKSUM.size :])


def make_private(folder: Path) -> None:
    """Makes a folder that other users can't read, or makes one so. On Windows it is as private as the user's profile.

    Raises:
        OSError: it can't be made, or belongs to somebody else.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "nt" and folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def segments(folder: Path) -> list[Path]:
    """The segments in a folder, the oldest first; others' files are left out."""
    found = [path for path in folder.glob(f"*{SEGMENT_SUFFIX}") if path.name.partition("-")[0].isdecimal()]
    return sorted(found, key=written_at)


def written_at(path: Path) -> int:
    """When a segment was begun, in seconds since 1970."""
    return int(path.name.partition("-")[0])


def prune(root: Path, wanted: int) -> bool:
    """Deletes segments of all models that are too old, and the oldest ones where there are too many.

    Args:
        wanted: bytes that are to be written.

    Returns:
        Whether there is room for them.

    Raises:
        OSError: the disk can't be read.
    """
    sizes: dict[Path, int] = {}
    for path in all_segments(root):
        if 0 <= time.time() - written_at(path) <= MAX_AGE:
            sizes[path] = file_size(path)
        else:
            delete(path)
    used = sum(sizes.values())
    room = min(MAX_BYTES, int((available_disk(root) + used) * SHARE_OF_DISK))
    oldest_first = iter(sorted(sizes, key=written_at))
    while used + wanted > room and (oldest := next(oldest_first, None)) is not None:
        used -= sizes[oldest] if delete(oldest) else 0
    return used + wanted <= room


def forget(root: Path) -> int:
    """Deletes the blocks of all models, and returns how many bytes they took. What can't be deleted is left."""
    return sum(size for path in list(all_segments(root)) if (size := file_size(path)) and delete(path))


def all_segments(root: Path) -> Iterator[Path]:
    folders = [folder for folder in root.glob("*") if folder.is_dir()]
    return itertools.chain.from_iterable(map(segments, folders))


def file_size(path: Path) -> int:
    """Of a file, in bytes; 0 if another process has deleted it."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def delete(path: Path) -> bool:
    """Deletes a file; False if it is there still, as one that another process has open on Windows."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
