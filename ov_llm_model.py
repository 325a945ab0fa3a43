"""A converted folder → a model on a device → a conversation that streams.

    model = load_model("smollm2-135m-instruct/INT4_compressed_weights", "CPU")
    session = ChatSession(model, AutoTokenizer.from_pretrained(folder), get_model_config(name))
    for answer in session.stream("Name the capital of France."):
        print(answer.text)

`load_model` gives one of Optimum Intel's models, which Transformers' `generate` runs too: its classes are in
`llm_chatbot/optimum_models.py`. A conversation runs on the engine below it, `llm_chatbot/engine/`.
"""

from llm_chatbot.engine.devices import available_devices
from llm_chatbot.engine.session import Answer, ChatSession
from llm_chatbot.optimum_models import (
    OVCHATGLM2Model,
    OVChatModel,
    OVMPTModel,
    OVPhi3Model,
    OVQWENModel,
    load_model,
    model_classes,
)

__all__ = [
    "Answer",
    "ChatSession",
    "OVCHATGLM2Model",
    "OVChatModel",
    "OVMPTModel",
    "OVPhi3Model",
    "OVQWENModel",
    "available_devices",
    "load_model",
    "model_classes",
]
