"""The findings about a converted folder, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any


def found_in_words(facts: Mapping[str, Any]) -> Iterator[str]:
    """The facts of `check_folder` as sentences for people; none where all is well."""
    if not facts.get("chat", True):
        yield "It can't chat: it has no chat template that shows the model what is said."
    tokenizer = facts.get("tokenizer", {})
    if "error" in tokenizer:
        yield f"OpenVINO's tokenizer of it does not run ({tokenizer['error']})."
    elif tokenizer.get("other_ids") or tokenizer.get("other_text"):
        yield (
            f"In OpenVINO GenAI, {tokenizer['other_ids']} of {tokenizer['texts']} sample texts get other ids and "
            f"{tokenizer['other_text']} are decoded otherwise, such as {tokenizer['examples'][0]!r}."
        )
    genai = facts.get("genai", {})
    if "error" in genai:
        yield f"OpenVINO GenAI can't use its chat template ({genai['error']})."
    for kind, verb in (("otherwise", "renders otherwise"), ("refused", "refuses")):
        if genai.get(kind):
            yield f"OpenVINO GenAI {genai['version']} {verb}: {', '.join(genai[kind])}."
