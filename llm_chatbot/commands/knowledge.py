"""`llm-chatbot knowledge`: collections of files, and what is found in them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_chatbot.catalogue.encoders import DEFAULT_ENCODER, get_encoder_config
from llm_chatbot.commands.options import Caller, Parser
from llm_chatbot.errors import UserError

if TYPE_CHECKING:
    from llm_chatbot.knowledge.collection import Collection

CALLER = Caller("llm-chatbot knowledge")
NO_ENCODER = "none"


class _ActionParser(Parser):
    """The parser of an action, whose options may stand between its other arguments."""

    def __init__(self, **options: Any) -> None:
        argparse.ArgumentParser.__init__(self, **options)
        self._is_intermixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._is_intermixing:  # called again by what is called here
            return super().parse_known_args(args, namespace)
        self._is_intermixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_intermixing = False


def main(argv: Sequence[str] | None = None, caller: Caller = CALLER) -> int:
    try:
        arguments = parser(caller).parse_args(argv)
        arguments.act(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def parser(caller: Caller = CALLER) -> Parser:
    parser = Parser(caller, "Make collections of files and folders, and find passages in them.")
    actions = parser.add_subparsers(required=True, parser_class=_ActionParser)
    add = actions.add_parser("add", help="add files and folders to a collection, or bring it up to date without any")
    add.add_argument("name", help="of the collection, which is made if there is none")
    add.add_argument("paths", nargs="*", type=Path, help="files and folders")
    help = f"{DEFAULT_ENCODER}, a folder or a repository of the Hub; {NO_ENCODER}: search by words alone"
    add.add_argument("--encoder", help=f"of a new collection: {help} (default: {DEFAULT_ENCODER})")
    add.set_defaults(act=_add)
    shown = actions.add_parser("list", help="list the collections, or the files of one")
    shown.add_argument("name", nargs="?", help="of the collection")
    shown.set_defaults(act=_list)
    search = actions.add_parser("search", help="find the passages that fit a question")
    search.add_argument("name", help="of the collection")
    search.add_argument("question", nargs="+")
    search.add_argument("--rerank", metavar="NAME", help="encoder that reads question and passage together")
    search.add_argument("--limit", type=int, default=5, help="passages at most (default: 5)")
    search.set_defaults(act=_search)
    delete = actions.add_parser("delete", help="delete a collection; the files that it was made of stay")
    delete.add_argument("name", help="of the collection")
    delete.set_defaults(act=_delete)
    return parser


def _add(arguments: argparse.Namespace) -> None:
    from llm_chatbot.encoder.loading import load_encoder
    from llm_chatbot.knowledge.collection import all_collections, make_collection

    known = [collection for collection in all_collections() if collection.name == arguments.name]
    encoder = "" if arguments.encoder == NO_ENCODER else arguments.encoder or DEFAULT_ENCODER
    if known and arguments.encoder is not None and known[0].encoder != encoder:
        raise UserError("knowledge.other_encoder", name=arguments.name, encoder=known[0].encoder or NO_ENCODER)
    for path in arguments.paths:
        if not path.exists():
            raise UserError("knowledge.no_path", path=path)
    if encoder:
        get_encoder_config(encoder)
    collection = known[0] if known else make_collection(arguments.name, encoder)
    opened = load_encoder(collection.encoder, exact=False) if collection.encoder else None
    collection.add(arguments.paths)
    for progress in collection.update(opened):
        if progress.error is not None:
            print(progress.error, file=sys.stderr)
        print(f"\r{progress.done}/{progress.total}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(_line(collection))


def _list(arguments: argparse.Namespace) -> None:
    from llm_chatbot.knowledge.collection import all_collections, named_collection

    if arguments.name is None:
        for collection in all_collections():
            print(_line(collection))
        return
    for document in named_collection(arguments.name).index.documents():
        print(f"{document.path}\t{document.error or document.count}")


def _line(collection: "Collection") -> str:
    documents, passages = collection.index.counts()
    return f"{collection.name}\t{documents} files\t{passages} passages\t{collection.encoder or 'words alone'}"


def _search(arguments: argparse.Namespace) -> None:
    from llm_chatbot.encoder.loading import load_cross_encoder, load_encoder
    from llm_chatbot.knowledge.collection import named_collection
    from llm_chatbot.knowledge.prompt import place_of_passage
    from llm_chatbot.knowledge.search import Searcher

    collection = named_collection(arguments.name)
    load_reranker = (lambda: load_cross_encoder(arguments.rerank)) if arguments.rerank else None
    searcher = Searcher(lambda name: load_encoder(name, exact=False), load_reranker)
    found = searcher.search([collection], " ".join(arguments.question), arguments.limit)
    if not any(one.fits for one in found):
        raise UserError("knowledge.nothing", name=collection.name)
    for number, one in enumerate((one for one in found if one.fits), 1):
        print(f"[{number}] {one.place.path}, {place_of_passage(one.place.passage)}\n{one.place.text}\n")


def _delete(arguments: argparse.Namespace) -> None:
    from llm_chatbot.knowledge.collection import named_collection

    named_collection(arguments.name).delete()


if __name__ == "__main__":
    sys.exit(main())
