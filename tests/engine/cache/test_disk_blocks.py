"""Blocks in files: what is read is what was written, whatever happens to the files."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from llm_chatbot.engine.cache import disk_blocks
from llm_chatbot.engine.cache.disk_blocks import DiskBlocks, Layout, all_segments, digest_of, file_size, forget

BLOCK_BYTES, BLOCK_SIZE = 4096, 32


def layout(name: bytes = b"one") -> Layout:
    return Layout(name.ljust(32, b"\0"), BLOCK_BYTES, BLOCK_SIZE)


def block(number: int) -> tuple[bytes, list[int], np.ndarray]:
    random_numbers = np.random.default_rng(number)
    ids = random_numbers.integers(0, 50_000, BLOCK_SIZE).tolist()
    return digest_of(b"", ids), ids, random_numbers.integers(0, 256, BLOCK_BYTES, dtype=np.uint8)


def write(disk: DiskBlocks, numbers: range) -> None:
    for number in numbers:
        assert disk.write(*block(number))


def found(root: Path, numbers: range, name: bytes = b"one") -> list[int]:
    """Which blocks a new process finds. Each is whole."""
    disk, there = DiskBlocks(root, layout(name)), []
    for number in numbers:
        digest, ids, content = block(number)
        read = disk.read(digest, ids)
        assert read is None or np.array_equal(read, content)
        assert (digest in disk) == (read is not None), "one that can't be read is forgotten"
        there += [] if read is None else [number]
    return there


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of eight blocks."""
    monkeypatch.setattr(disk_blocks, "SEGMENT_BYTES", BLOCK_BYTES)


def test_what_is_written_is_read_by_other_processes(tmp_path: Path, small_segments):
    disk = DiskBlocks(tmp_path, layout())
    write(disk, range(20))
    assert len(list(all_segments(tmp_path))) == 3
    assert found(tmp_path, range(21)) == list(range(20))
    write(DiskBlocks(tmp_path, layout()), range(20, 21))
    assert found(tmp_path, range(21)) == list(range(21))
    digest, ids, _ = block(1)
    assert disk.read(digest, ids) is not None and disk.read(digest, ids[::-1]) is None, "the tokens are compared"


def test_another_model_or_layout_finds_nothing(tmp_path: Path):
    write(DiskBlocks(tmp_path, layout()), range(3))
    assert found(tmp_path, range(3), b"another") == []
    [segment] = all_segments(tmp_path)
    folder = DiskBlocks(tmp_path, layout(b"another"))._folder
    segment.rename(folder / segment.name)
    assert found(tmp_path, range(3), b"another") == [], "a file in the wrong folder is foreign"


def test_a_damaged_file_is_never_wrong_and_never_an_error(tmp_path: Path):
    write(DiskBlocks(tmp_path, layout()), range(10))
    [segment] = all_segments(tmp_path)
    whole, at_random = segment.read_bytes(), random.Random(0)
    for _ in range(150):
        damaged = bytearray(whole)
        near_the_beginning = at_random.random() < 0.5
        for _ in range(at_random.choice((1, 1, 5, 500))):
            end = layout().block_place(0) if near_the_beginning else len(damaged)
            damaged[at_random.randrange(end)] ^= 1 << at_random.randrange(8)
        segment.write_bytes(damaged[: at_random.choice((len(damaged), at_random.randrange(len(damaged))))])
        found(tmp_path, range(10))
    segment.write_bytes(whole)
    damaged = bytearray(whole)
    damaged[layout().block_place(4) + 7] ^= 1
    segment.write_bytes(damaged)
    assert found(tmp_path, range(10)) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    damaged[3] ^= 1
    segment.write_bytes(damaged)
    assert found(tmp_path, range(10)) == []


def test_what_is_no_segment_is_left_alone(tmp_path: Path):
    folder = DiskBlocks(tmp_path, layout())._folder
    for name in ("note.txt", "notes.blocks", "1-.blocks.bak"):
        (folder / name).write_text("mine", encoding="utf-8")
    (folder / "17-folder.blocks").mkdir()
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    write(DiskBlocks(tmp_path, layout()), range(2))
    assert found(tmp_path, range(2)) == [0, 1]
    assert {path.name for path in folder.iterdir()} > {"note.txt", "notes.blocks", "1-.blocks.bak"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions; the folder is in the user's profile")
def test_only_this_user_can_read_them(tmp_path: Path):
    root = tmp_path / "conversations"
    root.mkdir(mode=0o755)
    disk = DiskBlocks(root, layout())
    write(disk, range(1))
    [segment] = all_segments(root)
    modes = [path.stat().st_mode & 0o777 for path in (root, disk._folder, segment)]
    assert modes == [0o700, 0o700, 0o600]


def test_the_oldest_make_room(tmp_path: Path, small_segments, monkeypatch: pytest.MonkeyPatch):
    now = int(time.time())
    disk = DiskBlocks(tmp_path, layout())
    for number in range(4):
        monkeypatch.setattr(time, "time", lambda passed=number: now - 100 + 10 * passed)
        write(disk, range(8 * number, 8 * number + 8))
    [size] = {file_size(path) for path in all_segments(tmp_path)}
    monkeypatch.setattr(disk_blocks, "MAX_BYTES", 3 * size)
    monkeypatch.setattr(time, "time", lambda: now)
    other = DiskBlocks(tmp_path, layout(b"another"))
    write(other, range(1))
    assert found(tmp_path, range(32)) == list(range(16, 32)), "of all models"
    monkeypatch.setattr(disk_blocks, "MAX_BYTES", size - 1)
    assert not DiskBlocks(tmp_path, layout()).write(*block(50))
    assert found(tmp_path, range(32)) == []


def test_a_tenth_of_the_disk_is_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    size = layout().block_place(layout().blocks)
    monkeypatch.setattr(disk_blocks, "available_disk", lambda folder: 10 * size - 10)
    assert not DiskBlocks(tmp_path, layout()).write(*block(0))
    monkeypatch.setattr(disk_blocks, "available_disk", lambda folder: 10 * size + 10)
    assert DiskBlocks(tmp_path, layout()).write(*block(0))


def test_what_is_old_is_deleted_though_it_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = time.time()
    disk = DiskBlocks(tmp_path, layout())
    write(disk, range(2))
    monkeypatch.setattr(time, "time", lambda: now + disk_blocks.MAX_AGE - 60)
    assert found(tmp_path, range(2)) == [0, 1]
    monkeypatch.setattr(time, "time", lambda: now + disk_blocks.MAX_AGE + 60)
    disk.prune()
    assert not list(all_segments(tmp_path))
    digest, ids, _ = block(0)
    assert disk.read(digest, ids) is None
    assert disk.write(*block(0)) and found(tmp_path, range(2)) == [0]


def test_all_can_be_deleted_while_others_use_them(tmp_path: Path):
    disk = DiskBlocks(tmp_path, layout())
    write(disk, range(3))
    assert forget(tmp_path) > 3 * BLOCK_BYTES and not list(all_segments(tmp_path))
    assert forget(tmp_path) == 0 and forget(tmp_path / "nowhere") == 0
    write(disk, range(3, 5))
    assert found(tmp_path, range(5)) == [3, 4]


WRITER = """
import sys
from pathlib import Path
from llm_chatbot.engine.cache import disk_blocks
from tests.engine.cache.test_disk_blocks import block, layout, write
disk_blocks.MAX_BYTES = 20_000_000
disk = disk_blocks.DiskBlocks(Path(sys.argv[1]), layout())
blocks = [block(number) for number in range(20)]
print("begun", flush=True)
while True:
    for each in blocks:
        disk.write(*each)
"""


def test_two_processes_that_are_killed_while_they_write_leave_what_is_right(tmp_path: Path):
    """They write the same blocks again and again, and delete each other's oldest segments."""
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(2)]
    try:
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == "begun\n"
        deadline = time.monotonic() + 30
        while len(list(all_segments(tmp_path))) < 3 and time.monotonic() < deadline:
            found(tmp_path, range(20))
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert found(tmp_path, range(20)) == list(range(20))
