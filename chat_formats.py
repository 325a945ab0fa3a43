"""Chat formats: how a conversation is written for a model, and how its answer is read.

Data only. A template is needed just where the checkpoint brings none, or one that its card contradicts.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ChatFormat:
    """How a model is talked to.

    Attributes:
        template: a Jinja template as Transformers renders them; None stands for the checkpoint's own. Its text is
            tokenized without special tokens being added, so the template writes all of them, BOS included.
        stop_tokens: tokens that end an answer, besides those in the checkpoint's generation settings.
        stop_strings: texts that end an answer, and are not shown.
        replacements: pairs of a text that the model writes and what is shown in its place.
        strip_start: characters that are not shown at an answer's beginning.
    """

    template: str | None = None
    stop_tokens: tuple[str, ...] = ()
    stop_strings: tuple[str, ...] = ()
    replacements: tuple[tuple[str, str], ...] = ()
    strip_start: str = ""


CHECKPOINTS_OWN = ChatFormat()
