"""A converted folder as one of Optimum Intel's models, on the engine that conversations run on."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from huggingface_hub.errors import StrictDataclassError
from optimum.intel import OVModelForCausalLM
from transformers import CONFIG_MAPPING, GenerationConfig, PreTrainedConfig
from transformers.modeling_outputs import CausalLMOutputWithPast

from llm_chatbot.catalogue.architectures import by_model_type
from llm_chatbot.engine.cache.kv_cache import KVCache, check_length
from llm_chatbot.engine.cache.pace import Pace
from llm_chatbot.engine.decode.prompt_lookup import LookupCache
from llm_chatbot.engine.devices import available_devices as available_devices
from llm_chatbot.engine.files import read_config
from llm_chatbot.engine.graph.logits import LOGITS_TO_KEEP
from llm_chatbot.engine.loading import open_model, original_model_type
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.engine.qwen import NTK_ALPHA, ntk_alpha
from llm_chatbot.engine.session import Answer as Answer
from llm_chatbot.engine.session import ChatSession as ChatSession
from llm_chatbot.engine.vision.reader import ImageReader
from llm_chatbot.folder.json_files import damaged
from llm_chatbot.folder.manifest import MODEL_XML


class OVChatModel(OVModelForCausalLM):
    """Optimum Intel's model, plus KV caches that conversations can own, and logits only where they are wanted.

    Attributes:
        engine: what the conversations run on.
    """

    model: ov.Model
    request: ov.InferRequest | None

    def __init__(self, engine: ChatModel, config: PreTrainedConfig, **kwargs: Any) -> None:
        self.engine = engine
        super().__init__(engine.graph, config, **kwargs)

    def compile(self) -> None:
        if self.request is None:
            self.request = self.engine.compiled.create_infer_request()

    def forward(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.LongTensor | None = None,
        past_key_values: Any = None,
        position_ids: torch.LongTensor | None = None,
        logits_to_keep: int = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """As in Transformers: logits of the last `logits_to_keep` positions, or of all where that is 0.

        The arguments are spelled out because `generate` looks at the signature to know what it may pass.
        """
        return super().forward(
            input_ids, attention_mask, past_key_values, position_ids, logits_to_keep=logits_to_keep, **kwargs
        )

    def prepare_inputs(self, *args: Any, logits_to_keep: int = 0, **kwargs: Any) -> dict:
        inputs = super().prepare_inputs(*args, **kwargs)
        check_length(self._past_length + inputs["input_ids"].shape[1], self.engine.max_length)
        if LOGITS_TO_KEEP in self.input_names:
            inputs[LOGITS_TO_KEEP] = np.full(len(inputs["input_ids"]), logits_to_keep)
        return inputs

    def prepare_inputs_for_generation(self, input_ids: torch.LongTensor, **kwargs: Any) -> dict:
        inputs = super().prepare_inputs_for_generation(input_ids, **kwargs)
        return {**inputs, LOGITS_TO_KEEP: kwargs.get(LOGITS_TO_KEEP) or 0}

    def _save_pretrained(self, save_directory: Path | str) -> None:
        """Saves the graph as it was on disk: others do not know the input that was added to it."""
        changed = self.model
        self.model = ov.Core().read_model(Path(self.model_save_dir) / MODEL_XML)
        try:
            super()._save_pretrained(save_directory)
        finally:
            self.model = changed

    # What a conversation needs of a model: see `llm_chatbot.engine.session.Model`.

    @property
    def context_length(self) -> int | None:
        """How many tokens, prompt and answer together, a conversation can have; None: no limit is known."""
        return self.engine.context_length

    @property
    def stop_ids(self) -> set[int]:
        """Ids of the tokens that end an answer."""
        return self.engine.stop_ids

    @property
    def pace(self) -> Pace:
        """How many tokens of a prompt to read at once."""
        return self.engine.pace

    @property
    def images(self) -> ImageReader | None:
        """Prepares pictures for the model; None: it reads none."""
        return self.engine.images

    def new_cache(self) -> LookupCache | KVCache:
        """An empty KV cache for a conversation."""
        return self.engine.new_cache()

    def in_use(self, cache: Any) -> Any:
        """Keeps a cache from being taken away while the block runs."""
        return self.engine.in_use(cache)


class OVMPTModel(OVChatModel):
    """MPT, whose positions end with its context: see `llm_chatbot.engine.loading`."""


class OVCHATGLM2Model(OVChatModel):
    """ChatGLM2 and 3, whose state may begin with the tokens' axis: see `llm_chatbot.engine.loading`."""


class OVPhi3Model(OVChatModel):
    """Phi-3 and Phi-4-mini, whose context ends where its rotary factors change: see `llm_chatbot.engine.loading`."""


class OVQWENModel(OVChatModel):
    """Qwen v1, whose graph has an input that scales the rotary base: see `llm_chatbot.engine.qwen`."""

    _alpha = 1.0

    def prepare_inputs(self, *args: Any, **kwargs: Any) -> dict:
        inputs = super().prepare_inputs(*args, **kwargs)
        rows, length = inputs["input_ids"].shape
        if NTK_ALPHA in self.input_names:
            if self._past_length == 0:
                self._alpha = ntk_alpha(length, self.config.seq_length)
            inputs[NTK_ALPHA] = np.full(rows, self._alpha, np.float32)
        return inputs


# A key is the `model_type` of the checkpoint, for an architecture that needs a class of its own; the others use
# `OVChatModel`.
model_classes: dict[str, type[OVChatModel]] = by_model_type("optimum_model")


def load_model(
    model_dir: Path | str,
    device: str = "CPU",
    ov_config: dict[str, Any] | None = None,
    kv_cache_precision: str = "auto",
    draft: Path | str | None = None,
) -> OVChatModel:
    """Compiles a converted folder for a device, as a model that Transformers' `generate` runs too.

    Args, raises: as `llm_chatbot.engine.loading.open_model`.
    """
    model_dir = Path(model_dir)
    # OpenVINO does the work; torch only carries ids and logits for `generate`. Its idle threads would take the cores.
    torch.set_num_threads(1)
    engine = open_model(model_dir, device, ov_config, kv_cache_precision=kv_cache_precision, draft=draft)
    generation_config = GenerationConfig.from_pretrained(model_dir)
    generation_config.cache_implementation = None  # the cache is in the graph
    # Not `from_pretrained`, which has classes of its own for some architectures and would give one of those.
    return model_classes.get(original_model_type(engine.config), OVChatModel)(
        engine,
        read_pretrained_config(model_dir),
        device=device,
        ov_config=dict(ov_config or {}),
        model_save_dir=model_dir,
        generation_config=generation_config,
        compile=False,  # by the first call of `generate` or `forward`: conversations run on the engine
    )


def read_pretrained_config(model_dir: Path) -> PreTrainedConfig:
    """The folder's `config.json` as Transformers' class.

    Raises:
        UserError: it is damaged.
    """
    facts = read_config(model_dir)
    # Folders of an older Optimum Intel may name an architecture that Transformers has not.
    known = facts["model_type"] in CONFIG_MAPPING
    config_class = CONFIG_MAPPING[facts["model_type"]] if known else PreTrainedConfig
    try:
        return config_class.from_pretrained(model_dir)  # which also reads an infinity as Transformers writes it
    except (ValueError, KeyError, TypeError, AttributeError, StrictDataclassError) as error:
        raise damaged(model_dir / "config.json") from error
