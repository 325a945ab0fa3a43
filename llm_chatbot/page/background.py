"""Requests to the model about a conversation, for when it has nothing else to do."""

from typing import Any

from llm_chatbot.answering.question import Question
from llm_chatbot.engine.decode.generation import Generation
from llm_chatbot.errors import UserError
from llm_chatbot.page.messages import joined, user_message, validate_messages
from llm_chatbot.page.routes import model_key


def question_after(data: dict[str, Any], request: str, generation: Generation, **more: Any) -> Question:
    """A request to the model after a conversation, of which it reads nothing but the request again.

    Args:
        data: the conversation's messages, settings and model, as the browser sends them.
        request: the words that follow them.
        more: attributes of the question.

    Raises:
        UserError: the data has another form.
    """
    messages, settings = validate_messages(data.get("messages")), data.get("settings") or {}
    prompt = settings.get("system_prompt") if isinstance(settings, dict) else False
    if not messages or not isinstance(prompt, str | None):
        raise UserError("page.question_form")
    return Question(
        joined([*messages, user_message(request)]),
        generation=generation,
        template_options={"enable_thinking": False},
        model=model_key(data.get("model")),
        system_prompt=prompt,
        in_background=True,
        **more,
    )
