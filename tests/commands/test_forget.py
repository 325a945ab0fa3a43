"""The command that deletes what models have read."""

from pathlib import Path

import numpy as np
import pytest

from llm_chatbot.commands.main import main
from llm_chatbot.engine.cache.disk_blocks import DiskBlocks, Layout, all_segments, blocks_folder


def test_what_was_read_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path))
    (tmp_path / "model.gguf").write_bytes(b"a download")
    disk = DiskBlocks(blocks_folder(), Layout(bytes(32), 1_000_000, 32))
    for number in range(3):
        disk.write(bytes([number] * 16), range(32), np.zeros(1_000_000, np.uint8))
    assert main(["forget"]) == 0
    assert capsys.readouterr().out == f"3 MB deleted in {blocks_folder()}.\n"
    assert not list(all_segments(blocks_folder())) and (tmp_path / "model.gguf").exists()
    assert main(["forget", "all"]) == 2
