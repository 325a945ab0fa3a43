"""Notes of what the Hub said of a repository's files, for the times when it can't be reached.

huggingface_hub's cache doesn't say which files a repository has, so a download that broke off looks like a whole one.
"""

import json
import logging
from pathlib import Path

from llm_chatbot.machine.cache import cache_folder
from llm_chatbot.machine.json_object import json_object

logger = logging.getLogger(__name__)


def note_files(repo_id: str, commit: str | None, sizes: dict[str, int], kind: str = "") -> None:
    """Notes files that are wanted, with their sizes in bytes, before they are downloaded.

    Args:
        sizes: of all files of this kind that were wanted at any time.
        kind: the ending of the notes: files of one kind may be there without those of another.
    """
    path = _notes(repo_id, commit, kind)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"files": sizes}, indent=2), encoding="utf-8")
    except OSError as error:
        logger.warning("The list of files of %s can't be kept in %s (%s).", repo_id, path, error.strerror or error)


def noted_files(repo_id: str, commit: str | None, kind: str = "") -> dict[str, int]:
    """The notes of a commit's files; empty if there are none, or they can't be read."""
    try:
        sizes = json_object(_notes(repo_id, commit, kind)).get("files")
    except (OSError, ValueError):
        return {}
    return {name: size for name, size in sizes.items() if isinstance(size, int)} if isinstance(sizes, dict) else {}


def _notes(repo_id: str, commit: str | None, kind: str) -> Path:
    """The file for one commit: several revisions of a repository may be in the cache."""
    return cache_folder() / "hub" / repo_id.replace("/", "--") / f"{commit}{kind}.json"
