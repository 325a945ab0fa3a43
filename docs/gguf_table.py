"""The table of architectures in `docs/gguf.md`, made from `llm_chatbot/decoder/rows.py`.

python -m docs.gguf_table           # prints it
python -m docs.gguf_table --write   # puts it in docs/gguf.md
"""

import sys
from pathlib import Path

from transformers import CONFIG_MAPPING

from docs.models_table import table_in
from llm_chatbot.decoder.rows import ROWS, DecoderRow

GGUF_PAGE = Path(__file__).with_name("gguf.md")

HEADER = """\
| architecture | norm | rotation pairs | sliding windows | conversations share a cache | Optimum Intel loads it as |
|---|---|---|---|---|---|
"""

PAIRS = {"pairs": "neighbours", "halves": "halves of a head", None: "none"}


def gguf_table() -> str:
    """The table in Markdown, one line per architecture, with a newline at the end."""
    return HEADER + "".join(table_row(name, ROWS[name]) for name in sorted(ROWS))


def table_row(name: str, row: DecoderRow) -> str:
    model_type = row.model_type or name
    cells = (
        f"`{name}`",
        row.norm.upper() if row.norm == "rms" else row.norm,
        PAIRS[row.rotary],
        "" if row.pattern is None else f"all layers but each {row.pattern}{'nd' if row.pattern == 2 else 'th'}",
        "no: its scores are capped" if row.scores_cap else "yes",
        f"`{model_type}`" if model_type in CONFIG_MAPPING and not row.recurrent else "not; GenAI does",
    )
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    if "--write" in sys.argv[1:]:
        text = GGUF_PAGE.read_text(encoding="utf-8")
        GGUF_PAGE.write_text(text.replace(table_in(text, HEADER), gguf_table()), encoding="utf-8")
    else:
        print(gguf_table(), end="")


if __name__ == "__main__":
    main()
