"""Vocabularies of other models on this machine, and a box that shows a text's tokens while one types."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import ipywidgets as widgets
from IPython.display import HTML

from llm_chatbot.engine.gguf_file import GGUFFile
from llm_chatbot.engine.text.tokenizer import ChatTokenizer, FolderTokenizer
from llm_chatbot.errors import UserError
from llm_chatbot.folder.found import converted_models
from llm_chatbot.folder.place import model_folder
from llm_chatbot.lesson.pieces import draw_pieces, vocabulary_lines
from llm_chatbot.lesson.sliders import with_controls
from llm_chatbot.lesson.words import say
from llm_chatbot.sources.gguf_files import find_ggufs

MOST_FILES = 6  # that are opened: a large vocabulary takes a second


def other_vocabularies(own: ChatTokenizer, root: Path = Path("."), most: int = 2) -> dict[str, ChatTokenizer]:
    """Tokenizers of models that are on this machine, by the models' names: each with a vocabulary of its own.

    Args:
        own: whose vocabulary is left out.
        root: a folder with converted models. GGUF files are looked for where Ollama and others keep them.
        most: how many.
    """
    found: dict[str, ChatTokenizer] = {}
    known = [own.backend_tokenizer.get_vocab()]
    for name, tokenizer in islice(_tokenizers(root), MOST_FILES):
        vocabulary = tokenizer.backend_tokenizer.get_vocab()
        if len(found) < most and vocabulary not in known:
            known.append(vocabulary)
            found[name] = tokenizer
    return found


def _tokenizers(root: Path) -> Iterator[tuple[str, ChatTokenizer]]:
    """Those of all models that are found, without files that can't be read."""
    folders = {name: model_folder(name, precisions[0], root) for name, precisions in converted_models(root).items()}
    for name, folder in folders.items():
        yield from _read(name, folder)
    for file in find_ggufs():
        yield from _read(file.name, file.path)


def _read(name: str, path: Path) -> Iterator[tuple[str, ChatTokenizer]]:
    try:
        yield name, FolderTokenizer(path) if path.is_dir() else GGUFFile(path).tokenizer
    except UserError:  # damaged, or of a kind that isn't supported: others are as good
        return


def token_box(tokenizers: Mapping[str, ChatTokenizer], text: str) -> widgets.VBox:
    """The tokens of a text in each vocabulary, drawn again at each key, with a box for the text below.

    Args:
        tokenizers: by the names that are shown.
        text: to begin with.
    """
    box = widgets.Textarea(text, description=say("text"), rows=4, layout=widgets.Layout(width="620px"))
    return with_controls(lambda text: HTML(draw_pieces(vocabulary_lines(tokenizers, text))), text=box)
