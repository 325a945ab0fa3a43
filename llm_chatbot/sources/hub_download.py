"""How files come from the Hugging Face Hub with huggingface_hub: room, progress, checksums, and errors as sentences."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import HfApi, ModelInfo, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import tqdm

from llm_chatbot.errors import UserError
from llm_chatbot.machine.disk import available_disk
from llm_chatbot.machine.json_progress import DownloadJSONBar, JSONBar

# What huggingface_hub raises without a network, and in offline mode.
UNREACHABLE = (OfflineModeIsEnabled, httpx.ConnectError, httpx.TimeoutException)


class TerminalBar(tqdm):
    """huggingface_hub's progress bar, shown in terminals only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"disable": None, **kwargs})


def bar_class() -> type:
    """The progress bar of downloads: for people, or for a program that follows."""
    return TerminalBar if JSONBar.stream is None else DownloadJSONBar


def file_sizes(info: ModelInfo) -> dict[str, int]:
    """The sizes in bytes of a repository's files, by name."""
    return {file.rfilename: file.size or 0 for file in info.siblings or []}


def download_files(api: HfApi, repo_id: str, names: Iterable[str], revision: str | None = None) -> Path:
    """Downloads files that are not in huggingface_hub's cache; returns the folder with all of them there."""
    patterns = [escape(name) for name in names]
    return Path(api.snapshot_download(repo_id, revision=revision, allow_patterns=patterns, tqdm_class=bar_class()))


def check_free(repo_id: str, size: int) -> None:
    """Refuses to download this many bytes if they do not fit on the disk."""
    cache = Path(constants.HF_HUB_CACHE)
    free = available_disk(cache)
    if free < size:
        sizes = {"size": f"{size / 1e9:.1f} GB", "free": f"{free / 1e9:.1f} GB"}
        raise UserError("hub.disk", repository=repo_id, folder=cache, **sizes)


def check_checksums(api: HfApi, repo_id: str, folder: Path) -> None:
    """Deletes files with a wrong checksum: huggingface_hub itself compares only the sizes."""
    wrong = api.verify_repo_checksums(repo_id, revision=folder.name).mismatches
    for mismatch in wrong:
        path = folder / mismatch["path"]
        path.resolve().unlink()  # the cached file, to which `path` is a link where the system has links
        path.unlink(missing_ok=True)
    if wrong:
        names = ", ".join(mismatch["path"] for mismatch in wrong)
        raise UserError("hub.damaged", files=names, repository=repo_id)


@contextmanager
def hub_errors(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turns what huggingface_hub raises into a `UserError` that names the remedy."""
    hub = constants.ENDPOINT
    try:
        yield
    except GatedRepoError as error:
        raise UserError("hub.gated", repository=repo_id, address=f"{hub}/{repo_id}") from error
    except RepositoryNotFoundError as error:
        raise UserError("hub.no_model", repository=repo_id, hub=hub) from error
    except RevisionNotFoundError as error:
        commits = f"{hub}/{repo_id}/commits/main"
        raise UserError("hub.no_revision", repository=repo_id, revision=repr(revision), address=commits) from error
    except HFValidationError as error:
        raise UserError("hub.name", name=repr(repo_id)) from error
    except LocalEntryNotFoundError as error:
        raise UserError("hub.offline", repository=repo_id, cache=constants.HF_HUB_CACHE, hub=hub) from error
    except HfHubHTTPError as error:
        answer = f"{error.response.status_code} {error.response.reason_phrase}".strip()
        raise UserError("hub.answer", hub=hub, answer=repr(answer), repository=repo_id) from error
    except (httpx.HTTPError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError("hub.interrupted", repository=repo_id, reason=reason) from error
