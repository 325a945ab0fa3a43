"""Downloads from the Hugging Face Hub, through huggingface_hub: only the files that a conversion needs.

Progress, resuming, proxies, `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` are that library's own.
"""

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from glob import escape
from pathlib import Path
from typing import Any

from config import SPLIT_SUFFIX, UserError

import httpx
from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import tqdm

# Weights, the best first: safetensors are mapped into memory and can't hold code.
WEIGHTS = (
    ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"),
)

# What else is read, none of it Python.
SIDE_FILES = (
    "config.json",
    "generation_config.json",
    "chat_template.jinja",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "*.tiktoken",
)


class TerminalBar(tqdm):
    """huggingface_hub's progress bar, but silent where nobody watches."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"disable": None, **kwargs})


def download_checkpoint(repo_id: str, revision: str | None = None) -> Path:
    """Path of a model repository's files in huggingface_hub's cache, downloaded where they are not there.

    A download that was interrupted goes on where it stopped. What came from the network is compared with the Hub's
    checksums; without a network, or in offline mode, what is in the cache is taken.

    Args:
        repo_id: "organisation/name".
        revision: a commit, tag or branch; None is the main branch.

    Raises:
        UserError: the files can't be had; the message says why and what to do.
    """
    api = HfApi()
    with _sentences(repo_id, revision):
        try:
            files = api.model_info(repo_id, revision=revision, files_metadata=True).siblings or []
        except (OfflineModeIsEnabled, httpx.ConnectError, httpx.TimeoutException):
            return Path(api.snapshot_download(repo_id, revision=revision, local_files_only=True))
        wanted = wanted_files(file.rfilename for file in files)
        _check_room(repo_id, sum(file.size or 0 for file in files if file.rfilename in wanted))
        download = api.snapshot_download(repo_id, revision=revision, allow_patterns=wanted, tqdm_class=TerminalBar)
        folder = Path(download)
        _check_checksums(api, repo_id, folder)
    return folder


def download_gguf(repo_id: str, file: str, revision: str | None = None) -> Path:
    """Path of a GGUF file in huggingface_hub's cache, or of the first part of a split one, downloaded as a checkpoint.

    Args:
        repo_id: "organisation/name".
        file: its path in the repository, or a quantization, like "Q4_K_M".
        revision: a commit, tag or branch; None is the main branch.

    Raises:
        UserError: the repository has no such file, or several; or it can't be had.
    """
    api = HfApi()
    with _sentences(repo_id, revision):
        try:
            info = api.model_info(repo_id, revision=revision, files_metadata=True)
        except (OfflineModeIsEnabled, httpx.ConnectError, httpx.TimeoutException):
            folder = Path(api.snapshot_download(repo_id, revision=revision, local_files_only=True))
            names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.gguf")]
            return folder / gguf_parts(repo_id, names, file)[0]
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}
        wanted = gguf_parts(repo_id, sizes, file)
        missing = [
            name for name in wanted if not isinstance(try_to_load_from_cache(repo_id, name, revision=info.sha), str)
        ]
        _check_free(repo_id, sum(sizes[name] for name in missing))
        folder = Path(
            api.snapshot_download(
                repo_id, revision=revision, allow_patterns=[escape(name) for name in wanted], tqdm_class=TerminalBar
            )
        )
        if missing:
            _check_checksums(api, repo_id, folder)
    return folder / wanted[0]


def gguf_parts(repo_id: str, names: Iterable[str], file: str) -> list[str]:
    """Those of a repository's files that make the model that is asked for: one, or the parts of a split one.

    Raises:
        UserError: there is none, or it is not clear which; the message has the names.
    """
    ggufs = sorted(name for name in names if name.endswith(".gguf") and "mmproj" not in name)
    models = {re.sub(SPLIT_SUFFIX, "", name.removesuffix(".gguf")) for name in ggufs}
    asked = re.sub(SPLIT_SUFFIX, "", file.removesuffix(".gguf"))
    quantized = re.compile(rf"(^|[-._/]){re.escape(file)}([-._][^/]*)?$", re.IGNORECASE)
    found = sorted({asked} & models if file.endswith(".gguf") else (name for name in models if quantized.search(name)))
    exact = [name for name in found if name.lower().endswith(file.lower())]
    if len(found := exact or found) != 1:
        candidates = [
            name for name in ggufs if re.sub(SPLIT_SUFFIX, "", name.removesuffix(".gguf")) in (found or models)
        ]
        what = f"several files for {file}" if found else f"no {file}"
        there = ", ".join(f"{repo_id}/{name}" for name in candidates)
        raise UserError(f"{repo_id} has {what}; {f'name one of: {there}' if there else 'it has no GGUF files'}.")
    return [name for name in ggufs if re.sub(SPLIT_SUFFIX, "", name.removesuffix(".gguf")) == found[0]]


def wanted_files(names: Iterable[str]) -> list[str]:
    """Those of a repository's files that a conversion reads: one format of the weights, and what belongs to it."""
    names = list(names)
    weights = next((found for patterns in WEIGHTS if (found := _matching(names, patterns))), [])
    return weights + _matching(names, SIDE_FILES)


def _matching(names: list[str], patterns: Iterable[str]) -> list[str]:
    return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]


def _check_room(repo_id: str, size: int) -> None:
    cache = Path(constants.HF_HUB_CACHE)
    blobs = cache / repo_folder_name(repo_id=repo_id, repo_type="model") / "blobs"
    _check_free(repo_id, size, have=sum(file.stat().st_size for file in blobs.glob("*")))


def _check_free(repo_id: str, size: int, have: int = 0) -> None:
    cache = Path(constants.HF_HUB_CACHE)
    existing = next(parent for parent in (cache, *cache.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(existing).free
    if free < size - have:
        raise UserError(
            f"{repo_id} is {size / 1e9:.1f} GB to download and {existing} has {free / 1e9:.1f} GB free; "
            f"free some space or name another folder in HF_HOME."
        )


def _check_checksums(api: HfApi, repo_id: str, folder: Path) -> None:
    """Removes what is not what the Hub says it is: huggingface_hub itself compares only the sizes."""
    wrong = api.verify_repo_checksums(repo_id, revision=folder.name).mismatches
    for mismatch in wrong:
        path = folder / mismatch["path"]
        path.resolve().unlink()  # the file itself; where the system has links, `path` is one
        path.unlink(missing_ok=True)
    if wrong:
        names = ", ".join(mismatch["path"] for mismatch in wrong)
        raise UserError(f"{names} of {repo_id} came damaged and was removed; try again to download it anew.")


@contextmanager
def _sentences(repo_id: str, revision: str | None) -> Iterator[None]:
    """Says what huggingface_hub's errors mean for the user. The one place that knows them."""
    hub = constants.ENDPOINT
    log_in = "log in with `hf auth login` or set HF_TOKEN"
    try:
        yield
    except GatedRepoError as error:
        raise UserError(f"{repo_id} is gated: accept its licence on {hub}/{repo_id}, then {log_in}.") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"There is no model {repo_id} on {hub}; check its name, or, if private, {log_in}.") from error
    except RevisionNotFoundError as error:
        raise UserError(f"{repo_id} has no revision {revision!r}; see {hub}/{repo_id}/commits/main.") from error
    except HFValidationError as error:
        raise UserError(f"{repo_id!r} can't be the name of a model on the Hub: those are organisation/name.") from error
    except LocalEntryNotFoundError as error:
        raise UserError(
            f"{repo_id} is not in {constants.HF_HUB_CACHE} and {hub} can't be reached; check the network, "
            f"HTTPS_PROXY, HF_ENDPOINT and HF_HUB_OFFLINE."
        ) from error
    except HfHubHTTPError as error:
        answer = f"{error.response.status_code} {error.response.reason_phrase}".strip()
        raise UserError(f"{hub} answered {answer!r} for {repo_id}; try again later, or {log_in}.") from error
    except (httpx.HTTPError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"The download of {repo_id} broke off ({reason}); run it again to go on from there.") from error
