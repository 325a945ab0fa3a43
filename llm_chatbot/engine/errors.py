"""The errors of the engine that callers tell apart. Cheap to import."""

from llm_chatbot.errors import UserError


class NonFiniteError(UserError):
    """A model computed values that are no numbers: no token can be chosen by them, and no texts compared."""

    def __init__(self, key: str = "engine.not_finite", **values: object) -> None:
        super().__init__(key, **values)


class ContextLengthError(UserError):
    """A prompt leaves too little of the context for the answer that was asked for.

    Attributes:
        num_prompt_tokens, room, context_length: the prompt's length, what the answer needs, and the context; in tokens.
    """

    def __init__(self, num_prompt_tokens: int, room: int, context_length: int) -> None:
        values = {"context": context_length, "prompt": num_prompt_tokens}
        if room > 1:
            super().__init__("engine.no_room", room=room, **values)
        else:
            super().__init__("engine.context_full", **values)
        self.num_prompt_tokens, self.room, self.context_length = num_prompt_tokens, room, context_length
