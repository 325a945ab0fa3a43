"""The catalogue, as the tutorial uses it: which models there are, and how each is compressed.

The rows are in the files that `llm_chatbot/catalogue/rows.py` joins, what a row says in `row.py` beside it. A new model
is one more row.

    SUPPORTED_LLM_MODELS["qwen3-8b"].description
    get_model_config("org/name")      # a row for a model that the catalogue lacks
"""

from llm_chatbot.catalogue.chat_formats import ChatFormat
from llm_chatbot.catalogue.example_questions import EXAMPLE_QUESTIONS
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.row import GGUFWheel, Int4Settings, ModelConfig
from llm_chatbot.catalogue.rows import DEFAULT_MODEL, EMBEDDED_CHECKPOINT, SUPPORTED_LLM_MODELS
from llm_chatbot.errors import UserError

__all__ = [
    "DEFAULT_MODEL",
    "EMBEDDED_CHECKPOINT",
    "EXAMPLE_QUESTIONS",
    "SUPPORTED_LLM_MODELS",
    "ChatFormat",
    "GGUFWheel",
    "Int4Settings",
    "ModelConfig",
    "UserError",
    "get_model_config",
]
