"""The catalogue: the tutorial's models, where each comes from and how it is compressed.

Data only, and cheap to import. The embedded model comes first, then the freely available ones, then the gated ones;
each group from small to large. INT4 settings are those of Optimum Intel if it lists the model, then those of OpenVINO's
tutorial, then those that our sweep suggests; `int4_source` says which.
"""

from llm_chatbot.catalogue.gated_rows import GATED_MODELS
from llm_chatbot.catalogue.large_rows import LARGE_MODELS
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.catalogue.small_rows import EMBEDDED_CHECKPOINT as EMBEDDED_CHECKPOINT
from llm_chatbot.catalogue.small_rows import SMALL_MODELS

SUPPORTED_LLM_MODELS: dict[str, ModelConfig] = {**SMALL_MODELS, **LARGE_MODELS, **GATED_MODELS}
DEFAULT_MODEL = "smollm2-135m-instruct"
