"""Drafts of prompt lookup, call by call: what was guessed from the text, what of it was right, what was thrown away."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import ipywidgets as widgets
from IPython.display import HTML

from llm_chatbot.engine.cache.block_pool import common_length
from llm_chatbot.engine.decode.generation import stream_ids
from llm_chatbot.engine.decode.prompt_lookup import Prices, PromptLookup
from llm_chatbot.engine.decode.sampling import Sampling
from llm_chatbot.engine.session import Model
from llm_chatbot.engine.text.prompt import prompt_ids
from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.lesson.pieces import VISIBLE, Piece, draw_pieces
from llm_chatbot.lesson.sliders import slider, with_controls
from llm_chatbot.lesson.words import say

DRAFTED_TOKENS = 96
READ, ACCEPTED, REJECTED = "#e3e6ea", "#bfe3b4", "#f3b9ae"


@dataclass(frozen=True)
class Call:
    """A call of the model while it writes.

    Attributes:
        token: that was certain, and had to be read.
        accepted: the tokens of the draft that the model would have chosen, too.
        rejected: the rest of the draft.
    """

    token: int
    accepted: list[int]
    rejected: list[int]


def replay_drafts(prompt: Sequence[int], answer: Sequence[int], cost: float) -> list[Call]:
    """The calls in which the engine's lookup writes an answer.

    Args:
        prompt: the ids before the answer.
        answer: greedy, and so the same with drafts and without.
        cost: of one more token in a call, in shares of a call with one token. The cheaper, the more is guessed.
    """
    prices = Prices({1: 1.0, 2: 1.0 + cost}, change=0.0)
    lookup, calls, place, rows = PromptLookup(), [], 0, 1
    lookup.read(prompt)
    while place < len(answer):
        lookup.add(answer[place])
        draft = lookup.guesses(lookup.best_count(prices, 0, rows))
        right = common_length(draft, answer[place + 1 :])
        calls.append(Call(answer[place], draft[:right], draft[right:]))
        for token in draft[:right]:
            lookup.add(token)
        rows = 1 + len(draft)
        place += 1 + right
    return calls


def draft_lines(calls: Sequence[Call], tokenizer: ChatTokenizer) -> list[list[Piece]]:
    """How many calls and tokens there were, what the colours mean, and the tokens call by call."""
    accepted, rejected = (sum(len(getattr(call, kind)) for call in calls) for kind in ("accepted", "rejected"))
    counts = {"tokens": len(calls) + accepted, "calls": len(calls), "accepted": accepted, "rejected": rejected}
    text = say("{tokens} tokens in {calls} calls: {accepted} guessed rightly, {rejected} thrown away", **counts)
    kinds = [Piece(say("read"), " ", READ), Piece(say("guessed rightly"), " ", ACCEPTED)]
    kinds.append(Piece(f"({say('thrown away')})", " ", REJECTED))
    return [[Piece(text)], kinds, [piece for call in calls for piece in _pieces(call, tokenizer)]]


def _pieces(call: Call, tokenizer: ChatTokenizer) -> list[Piece]:
    """The tokens of a call; what was thrown away is in parentheses, too, for where there are no colours."""

    def piece(token: int, form: str, color: str) -> Piece:
        return Piece(form.format(tokenizer.decode([token]).translate(VISIBLE)), " ", color)

    return [
        piece(call.token, "{}", READ),
        *(piece(token, "{}", ACCEPTED) for token in call.accepted),
        *(piece(token, "({})", REJECTED) for token in call.rejected),
    ]


def drafts_box(model: Model, tokenizer: ChatTokenizer, question: str) -> widgets.VBox:
    """An answer with its drafts in colour, a box for the question, and a slider for what a guess costs.

    Args:
        model: answers greedily.
        tokenizer: of this model.
        question: to begin with.
    """

    @lru_cache(maxsize=8)
    def answered(question: str) -> tuple[list[int], list[int]]:
        prompt = prompt_ids(tokenizer, [{"role": "user", "content": question}])
        stream = stream_ids(model.new_cache(), prompt, Sampling(), model.stop_ids)
        return prompt, list(islice(stream, DRAFTED_TOKENS))

    def draw(question: str, cost: float) -> HTML:
        return HTML(draw_pieces(draft_lines(replay_drafts(*answered(question), cost), tokenizer)))

    box = widgets.Textarea(question, description=say("question"), continuous_update=False, layout={"width": "620px"})
    return with_controls(draw, question=box, cost=slider("cost of a guess, in calls", 0.1, 0.02, 0.5, 0.02))
