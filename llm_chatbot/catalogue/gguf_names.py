"""Parses names of models on the Hub, and of GGUF files there or kept by other programs. No file or network access.

What a file's name says about it is decided here: whether it is a GGUF file, a part of a split one, a language model.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

# The form of `org/name`; paths like ./folder or ../folder/name do not match.
HUB_ID = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"

# GGUF files by name: `ollama:llama3.2:3b`, `lmstudio:publisher/repo/file.gguf`, `org/name:Q4_K_M` and
# `org/name/file.gguf`. No part begins with a dot, so a name can't lead out of a folder.
PART = r"[A-Za-z0-9][\w.-]*"
STORED_GGUF = rf"(ollama|lmstudio):({PART}(?:/{PART})*)(?::({PART}))?"
HUB_GGUF = rf"({HUB_ID})(?::([\w.-]+)|/({PART}(?:/{PART})*\.[gG][gG][uU][fF]))"
SUFFIX = r"\.gguf$"  # in capitals too
SPLIT_SUFFIX = r"-(\d{5})-of-\d{5}$"

# Files for a language model that are none themselves: its image encoder, its importance matrix, what drafts tokens for
# it, a vocabulary alone, a LoRA adapter. A name may also say that the model was made with such a matrix, or has no
# encoder, or can draft for itself.
MMPROJ = r"(?<!without)(?<!no)(^|[-_.])mmproj([-_.]|$)"
NO_MODEL = re.compile(
    rf"{MMPROJ}"
    r"|^imatrix|[-_.]imatrix$"
    r"|^(mtp|draft|drafter|eagle\d*|dflash)[-_.]"
    r"|^ggml-vocab"
    r"|\.lora(\.|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class StoredGGUF:
    """A GGUF file that another program keeps on this machine.

    Attributes:
        program: "ollama" or "lmstudio".
        name: the program's name for it, such as "llama3.2:latest" or "publisher/repo/file.gguf".
    """

    program: str
    name: str

    def __str__(self) -> str:
        return f"{self.program}:{self.name}"


@dataclass(frozen=True)
class HubGGUF:
    """A GGUF file in a repository of the Hugging Face Hub.

    Attributes:
        repo_id: "organisation/name".
        file: its path in the repository, or the quantization at the end of its name, such as "Q4_K_M".
    """

    repo_id: str
    file: str

    def __str__(self) -> str:
        return self.repo_id + ("/" if is_gguf_name(self.file) else ":") + self.file


def gguf_source(name: str) -> StoredGGUF | HubGGUF | None:
    """Parses `ollama:llama3.2`, `lmstudio:name`, `org/name:Q4_K_M` or `org/name/file.gguf`; None for other names."""
    if match := re.fullmatch(STORED_GGUF, name):
        program, stored, tag = match.groups()
        if program == "ollama":
            return StoredGGUF(program, f"{stored}:{tag or 'latest'}")
        return None if tag else StoredGGUF(program, stored)
    if match := re.fullmatch(HUB_GGUF, name):
        return HubGGUF(match[1], match[3] or match[2].upper())
    return None


def gguf_folder_name(source: StoredGGUF | HubGGUF) -> str:
    """The folder name for a converted GGUF file; valid on every system, and different for each source."""
    if isinstance(source, StoredGGUF):
        parts = [source.program, *re.split("[/:]", source.name)]
    else:
        parts = [*source.repo_id.split("/"), *source.file.split("/")]
    return unsplit_name("--".join(parts))


def is_gguf_name(file_name: str) -> bool:
    return re.search(SUFFIX, file_name, re.IGNORECASE) is not None


def without_suffix(file_name: str) -> str:
    """The name of a GGUF file without ".gguf"; other names unchanged."""
    return re.sub(SUFFIX, "", file_name, flags=re.IGNORECASE)


def unsplit_name(file_name: str) -> str:
    """The name of a GGUF file without ".gguf" and, for a part of a split model, without the part's number."""
    return re.sub(SPLIT_SUFFIX, "", without_suffix(file_name))


def is_language_model(file_name: str) -> bool:
    """Whether a file is a GGUF file with a language model, or a part of one, by its name or path."""
    return is_gguf_name(file_name) and not NO_MODEL.search(unsplit_name(file_name.rsplit("/", 1)[-1]))


def is_first_part(file_name: str) -> bool:
    """Whether a GGUF file is the first part of a split model, or a whole one."""
    match = re.search(SPLIT_SUFFIX, without_suffix(file_name))
    return match is None or int(match[1]) == 1


def quantization_in(file_name: str) -> str:
    """How a GGUF file is quantized, as the end of its name says it, such as "Q4_K_M"; empty if it doesn't."""
    match = re.search(r"(?<![^\W_])([it]?q\d\w*|bf16|f16|f32|mxfp4\w*)$", unsplit_name(file_name), re.IGNORECASE)
    return match[1].upper() if match else ""


# At the end of the name of an image encoder's file, how its weights are written.
_WRITTEN = re.compile(r"(^|[-_.])(model|bf16|fp?16|fp?32|[it]?q\d\w*)$", re.IGNORECASE)


def mmproj_subject(file_name: str) -> tuple[str, str] | None:
    """The words before and after "mmproj" in the name of an image encoder's file, without how its weights are written;
    None for other files.

    "Org_Repo_mmproj-model-f16.gguf" has "Org_Repo" and "", "mmproj-gemma-3-4b-it-Q8_0.gguf" has "" and "gemma-3-4b-it".
    """
    name = unsplit_name(file_name)
    match = re.search(MMPROJ, name, re.IGNORECASE)
    if match is None or not is_gguf_name(file_name):
        return None
    after = name[match.end() :]
    while written := _WRITTEN.search(after):
        after = after[: written.start()]
    return name[: match.start()], after


def mmproj_names(model: str, names: Iterable[str]) -> list[str]:
    """Those of the files beside a model that may be its image encoder.

    A name that begins otherwise belongs to another model, as in llama.cpp's one folder for all. Where some say the
    model's name after "mmproj", the others are left out.
    """
    name = unsplit_name(model).lower()
    found = {each: subject for each in sorted(names) if (subject := mmproj_subject(each))}
    mine = {each: after.lower() for each, (before, after) in found.items() if name.startswith(before.lower())}
    return [each for each, after in mine.items() if after and after in name] or list(mine)


# How the weights of image encoders are written, the first ones preferred. In 16 bits they are as small as they are
# published; F16 keeps a weight's 8 bits that BF16 has, and three more; F32 takes twice the bytes for the same; the rest
# are rounded, as a language model's, which image encoders are not trained for.
MMPROJ_PRECISIONS = ("f16", "bf16", "f32")


def chosen_mmproj(model: str, names: Collection[str]) -> str | None:
    """The image encoder that is taken with a model of a repository; None if there is none.

    It lies in the model's folder or, where that has none, in the outermost one.

    Args:
        model, names: paths in the repository.
    """
    folder, _, name = model.rpartition("/")
    for place in dict.fromkeys((folder, "")):
        beside = {path.rpartition("/")[2]: path for path in names if path.rpartition("/")[0] == place}
        if own := mmproj_names(name, beside):
            return beside[min(own, key=lambda each: (_mmproj_rank(each), each))]
    return None


def _mmproj_rank(name: str) -> int:
    words = re.split("[-_.]", unsplit_name(name).lower().replace("fp", "f"))
    return next((rank for rank, kind in enumerate(MMPROJ_PRECISIONS) if kind in words), len(MMPROJ_PRECISIONS))
