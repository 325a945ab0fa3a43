"""The part of a repository that is in huggingface_hub's cache, and whether it is whole."""

from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.file_download import repo_folder_name

from llm_chatbot.errors import UserError


def cached_bytes(repo_id: str) -> int:
    """How much of a repository is in huggingface_hub's cache."""
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo_id, repo_type="model")
    return sum(file.stat().st_size for file in folder.glob("blobs/*"))


def cached_sizes(folder: Path) -> dict[str, int]:
    """The sizes in bytes of the files in a cached folder, by name."""
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def check_cached(repo_id: str, there: Mapping[str, int], expected: Mapping[str, int]) -> None:
    """Checks that cached files are whole.

    Args:
        there, expected: the sizes of files by name.

    Raises:
        UserError: one that is expected is missing, empty or of another size.
    """
    lacking = [name for name, size in expected.items() if there.get(name) != size or not size]
    if lacking:
        files = ", ".join(sorted(lacking))
        values = {"cache": constants.HF_HUB_CACHE, "hub": constants.ENDPOINT}
        raise UserError("hub.cache_broken", repo_id=repo_id, files=files, **values)


def cached_size(repo_id: str, name: str, commit: str | None) -> int | None:
    """How many bytes a file has in huggingface_hub's cache; None if it is not there."""
    path = try_to_load_from_cache(repo_id, name, revision=commit)
    return Path(path).stat().st_size if isinstance(path, str) else None
