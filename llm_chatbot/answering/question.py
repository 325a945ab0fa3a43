"""A question: all that an answer is generated from, whoever asks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from llm_chatbot.engine.decode.generation import Generation
from llm_chatbot.engine.text.prompt import NO_OPTIONS, Message, TemplateOptions
from llm_chatbot.knowledge.prompt import Quoted
from llm_chatbot.tools.offers import ToolKey

GREEDY = Generation()

ModelKey = tuple[str, str, str]  # name, precision, device


@dataclass(frozen=True)
class Question:
    """One answer to generate. It can be pickled, so a replica of a cluster can be asked it.

    Attributes:
        messages: the conversation, from the first message to the one that is answered, or to the answer that is to be
            continued; empty to continue `prompt` instead.
        prompt: a raw text, or the ids of its tokens.
        generation: how the answer is generated.
        template_options: variables for the chat template.
        room: how many tokens of the context the answer needs, see `ChatSession.answer`.
        grammar: what the answer has to match, see `answering.grammar`; None: it is free.
        model: the key of the model to ask; None: the service's own.
        adapter_weights: how much of each of the model's adapters is added; empty: nothing.
        system_prompt: put before the messages; None is the model's own, an empty one puts none.
        summary: what was said before the messages, in few words; the model reads it after the system prompt.
        summarised: how many messages it stands for.
        conversation: an id. Answers with the same one have the beginning of their prompts in common.
        collections: ids of those whose passages are put before the last message.
        query: what is looked for in them.
        passages: those to put there; None: they are looked for.
        tools: those that the answer may call; they are added to `template_options` when it begins.
        forced_tool: the one that it has to call; None: none.
        in_background: whether it is answered only while no other question waits or is answered, and ends where one
            comes.
        keeps_session: whether the conversation's session is kept for its next answer, with what it has read.
        is_private: whether nothing of it is kept on the disk.
        id: of the answer. A question with the id of an answer that is known is not asked again.
    """

    messages: Sequence[Message] = ()
    prompt: str | Sequence[int] = ""
    generation: Generation = GREEDY
    template_options: TemplateOptions = field(default_factory=lambda: dict(NO_OPTIONS))
    room: int | None = None
    grammar: str | None = None
    model: ModelKey | None = None
    adapter_weights: tuple[float, ...] = ()
    system_prompt: str | None = ""
    summary: str = ""
    summarised: int = 0
    conversation: str = ""
    collections: Sequence[str] = ()
    query: str = ""
    passages: Sequence[Quoted] | None = None
    tools: Sequence[ToolKey] = ()
    forced_tool: ToolKey | None = None
    keeps_session: bool = False
    in_background: bool = False
    is_private: bool = False
    id: str = field(default_factory=lambda: uuid4().hex)
