"""An adapter by its name or path."""

from llm_chatbot.adapters.gguf_adapter import read_gguf_adapter
from llm_chatbot.adapters.low_rank import Adapter
from llm_chatbot.adapters.peft import read_peft
from llm_chatbot.catalogue.adapter_names import AdapterSource


def open_adapter(source: AdapterSource) -> Adapter:
    """Reads an adapter; one of the Hub is downloaded if necessary.

    Raises:
        UserError: it can't be had or read.
    """
    if isinstance(source.source, str):
        from llm_chatbot.sources.hub import download_adapter  # here, because huggingface_hub takes half a second

        return read_peft(download_adapter(source.source), source.weight, source.name)
    read = read_gguf_adapter if source.source.is_file() else read_peft
    return read(source.source, source.weight, source.name)
