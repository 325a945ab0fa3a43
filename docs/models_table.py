"""The table in `docs/models.md`, made from the catalogue.

python -m docs.models_table           # prints it
python -m docs.models_table --write   # puts it in docs/models.md
"""

import re
import sys
from pathlib import Path

from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.catalogue.rows import DEFAULT_MODEL, SUPPORTED_LLM_MODELS

MODELS_PAGE = Path(__file__).with_name("models.md")

HEADER = """\
| name | model | parameters | licence | reasons first | INT4: mode, group size, share of the layers | from |
|---|---|---|---|---|---|---|
"""

REASONING = {"never": "", "always": "always", "switch": "can be switched off"}


def models_table() -> str:
    """The table in Markdown, one line per row of the catalogue, with a newline at the end."""
    return HEADER + "".join(table_row(name, config) for name, config in SUPPORTED_LLM_MODELS.items())


def table_row(name: str, config: ModelConfig) -> str:
    default = " (default)" if name == DEFAULT_MODEL else ""
    gated = ", gated" if config.gated else ""
    cells = (
        f"`{name}`{default}",
        f"[{config.model_id}](https://huggingface.co/{config.model_id})",
        rounded(config.parameters or 0),
        f"{config.license}{gated}",
        REASONING[config.reasoning],
        f"{'symmetric' if config.int4.mode == 'INT4_SYM' else 'asymmetric'}, groups of {config.int4.group_size}, "
        f"{config.int4.ratio:.0%}{', AWQ' if config.int4.awq else ''}",
        config.int4_source,
    )
    return f"| {' | '.join(cells)} |\n"


def rounded(parameters: int) -> str:
    return f"{parameters / 1e9:.1f} B" if parameters >= 999_500_000 else f"{parameters / 1e6:.0f} M"


def table_in(text: str, header: str = HEADER) -> str:
    """The table with this header in a page's text, as `models_table` writes it.

    Raises:
        ValueError: there is none.
    """
    found = re.search(re.escape(header) + r"(\|.*\n)*", text)
    if found is None:
        raise ValueError(f"no table begins with {header!r}")
    return found.group()


def main() -> None:
    if "--write" in sys.argv[1:]:
        text = MODELS_PAGE.read_text(encoding="utf-8")
        MODELS_PAGE.write_text(text.replace(table_in(text), models_table()), encoding="utf-8")
    else:
        print(models_table(), end="")


if __name__ == "__main__":
    main()
