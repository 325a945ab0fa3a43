"""The files that a model is opened from."""

from pathlib import Path
from unittest.mock import patch

import pytest

from llm_chatbot.answering.model_files import model_files
from llm_chatbot.errors import UserError
from llm_chatbot.folder.place import AS_IN_FILE
from llm_chatbot.sources import hub as hub_downloads
from tests.gguf.test_header import write_model
from tests.hub_server import Hub


@pytest.mark.parametrize("mmproj", [True, False])
def test_the_hub_is_asked_once_for_a_gguf_and_what_reads_its_images(mmproj: bool, hub: Hub, tmp_path: Path):
    repository = hub.root / "org" / "repo"
    repository.mkdir(parents=True)
    write_model(repository / "some-Q8_0.gguf")
    (repository / "mmproj-F16.gguf").write_bytes(b"of a projector that is not known")
    with patch.object(hub_downloads, "download_gguf", wraps=hub_downloads.download_gguf) as download:
        files = model_files("org/repo:Q8_0", AS_IN_FILE, tmp_path, mmproj=mmproj)
    assert download.call_count == 1 and files.images is None
    assert {name for name, _ in hub.sent} == {"some-Q8_0.gguf"} | ({"mmproj-F16.gguf"} if mmproj else set())


def test_only_a_gguf_file_has_a_precision_of_its_own(tmp_path: Path):
    with pytest.raises(UserError, match="is no GGUF file"):
        model_files("tiny-llama-1b-chat", AS_IN_FILE, tmp_path)
