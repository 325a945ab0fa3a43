"""`llm-chatbot forget`: deletes what models have read and kept on the disk for the next start."""

import sys
from collections.abc import Sequence

from llm_chatbot.commands.options import Caller, Parser
from llm_chatbot.errors import UserError

CALLER = Caller("llm-chatbot forget")


def main(argv: Sequence[str] | None = None, caller: Caller = CALLER) -> int:
    try:
        Parser(caller, "Delete what models have read and kept on this disk.").parse_args(argv)
        from llm_chatbot.engine.cache.disk_blocks import blocks_folder, forget  # imports NumPy

        deleted = forget(blocks_folder())
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{deleted / 1e6:,.0f} MB deleted in {blocks_folder()}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
