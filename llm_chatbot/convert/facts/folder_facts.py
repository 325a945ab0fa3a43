"""Finds out by trying what a converted folder can do: for the manifest, which `info` shows.

Other programs read a folder's chat template and its OpenVINO tokenizer in their own way. What they do otherwise than
the checkpoint's own files say is measured here, so that nobody has to find it out from wrong answers.
"""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino_tokenizers  # noqa: F401, makes OpenVINO know the operations of tokenizers
from transformers import PreTrainedTokenizerFast

from llm_chatbot.convert.tokenizer.original_tokenizers import read_tokenizer
from llm_chatbot.folder.manifest import DETOKENIZER_XML, TOKENIZER_XML
from llm_chatbot.folder.template_check import check_chat_template

# Pieces of text of many kinds, and what may stand between two of them: seen to be read otherwise in some vocabularies.
PIECES = (
    *("Hello", "don't", "I'LL", "1234567", "x²", "½", "٣", "e\u0301", "ﬁ", "Ａ", "你好", "日本語です", "ไทย", "مرحبا"),
    *(
        "🎉",
        "👩‍👩‍👧",
        "\\",
        r"\frac{1}{2}",
        "C:\\path",
        "<0x41>",
        "<0x0A>",
        "foo_bar(baz)[0]",
        '{"a": 1}',
        "...",
        "!",
        "€",
    ),
)
BETWEEN = ("", " ", "  ", "\n", "\n\n", "\t", "\u00a0")

GENAI_TIMEOUT = 60  # for the comparison with OpenVINO GenAI, which runs in a process of its own: its engine is not ours


def check_folder(folder: Path, name: str) -> dict[str, Any]:
    """Tries a folder, and returns the findings for its manifest.

    Args:
        folder: with everything but the manifest.
        name: the model's, for messages.

    Returns:
        "chat": whether it can chat; "tokenizer": see `compare_tokenizers`; "genai": see
        `llm_chatbot.convert.facts.genai_templates`, only where OpenVINO GenAI is installed.

    Raises:
        UserError: the chat template does harm.
    """
    tokenizer = read_tokenizer(folder)
    checked = check_chat_template(tokenizer.chat_template, tokenizer.special_tokens_map, name)
    facts: dict[str, Any] = {"chat": bool(tokenizer.chat_template) and checked.shows_messages}
    facts["tokenizer"] = compare_tokenizers(folder, tokenizer)
    if facts["chat"] and (genai := _compare_with_genai(folder)):
        facts["genai"] = genai
    return facts


def sample_texts(partners: int = 2) -> list[str]:
    """Every piece before everything that may stand between, and before some of the pieces, which take turns."""
    pairs = enumerate(product(PIECES, BETWEEN))
    return [
        "",
        *(
            piece + between + PIECES[(number * partners + partner) % len(PIECES)]
            for number, (piece, between) in pairs
            for partner in range(partners)
        ),
    ]


def compare_tokenizers(folder: Path, tokenizer: PreTrainedTokenizerFast, partners: int = 2) -> dict[str, Any]:
    """Compares a folder's OpenVINO tokenizer and detokenizer with its `tokenizer.json`.

    Args:
        partners: see `sample_texts`.

    Returns:
        The number of "texts", of those with "other_ids" and of those with "other_text" after decoding, and "examples";
        or the "error" of the runtime.
    """
    backend = tokenizer.backend_tokenizer
    try:
        encode, decode = (ov.Core().compile_model(folder / name, "CPU") for name in (TOKENIZER_XML, DETOKENIZER_XML))
        texts = sample_texts(partners)
        expected = [encoding.ids for encoding in backend.encode_batch(texts)]
        encoded = encode(texts)
        kept = encoded["attention_mask"].astype(bool)
        found = [ids[shown].tolist() for ids, shown in zip(encoded["input_ids"], kept, strict=True)]
        other_ids = [text for text, ids, wanted in zip(texts, found, expected, strict=True) if ids != wanted]
        other_text = [
            text
            for text, ids in zip(texts, expected, strict=True)
            if ids and str(decode(np.array([ids], np.int64))[0][0]) != backend.decode(ids)
        ]
    except RuntimeError as error:
        return {"error": str(error).strip().splitlines()[-1]}
    examples = [*other_ids[:3], *other_text[:3]]
    return {"texts": len(texts), "other_ids": len(other_ids), "other_text": len(other_text), "examples": examples}


def _compare_with_genai(folder: Path) -> dict[str, Any] | None:
    """The output of `genai_templates`; None where OpenVINO GenAI is not installed."""
    code = "from llm_chatbot.convert.facts.genai_templates import main; main()"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=GENAI_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no end within {GENAI_TIMEOUT} seconds"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    return json.loads(done.stdout)
