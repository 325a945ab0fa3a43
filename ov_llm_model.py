"""A converted folder → a model on a device: Optimum Intel's classes, with KV caches that conversations can own."""

import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from config import UserError
from engine.graph import LOGITS_TO_KEEP, NTK_ALPHA, add_logits_to_keep, add_qwen_scaling, ntk_alpha
from engine.kv_cache import KVCache, check_length
from engine.session import Answer as Answer
from engine.session import ChatSession as ChatSession
from engine.session import stream_ids as stream_ids
from model_folder import MODEL_BIN, MODEL_XML, ORIGINAL_MODEL_TYPE, SCALED_CONTEXT, check_complete, read_manifest

import numpy as np
import openvino as ov
import torch
from huggingface_hub.errors import StrictDataclassError
from optimum.intel import OVModelForCausalLM
from transformers import CONFIG_MAPPING, GenerationConfig, PreTrainedConfig
from transformers.modeling_outputs import CausalLMOutputWithPast

# Devices that stand for others, as in "AUTO" or "AUTO:GPU,CPU".
META_DEVICES = ("AUTO", "HETERO", "MULTI")


class OVChatModel(OVModelForCausalLM):
    """Optimum Intel's model, plus KV caches that conversations can own, and logits only where they are wanted.

    Attributes:
        max_idle_caches: how many conversations keep their KV cache while they are not speaking. Beyond it, the one
            that was silent for longest gives its memory back, and is read anew when it speaks again.
        can_exceed_context: whether the architecture goes on computing what it was made to beyond its context.
        scaled_beyond: the length of a prompt beyond which the rotary base is scaled, see `ntk_alpha`.
    """

    max_idle_caches = 8
    can_exceed_context = True
    scaled_beyond = sys.maxsize
    model: ov.Model

    def __init__(self, model: ov.Model, *args: Any, **kwargs: Any) -> None:
        add_logits_to_keep(model)
        self._idle: dict[int, KVCache] = {}
        self._idle_lock = threading.Lock()
        super().__init__(model, *args, **kwargs)

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
        check_length(self._past_length + inputs["input_ids"].shape[1], self.longest)
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

    def new_cache(self) -> KVCache:
        """An empty KV cache of its own on the compiled model, whose weights it shares."""
        self.compile()
        return KVCache(self)

    @contextmanager
    def in_use(self, cache: KVCache) -> Iterator[None]:
        """Keeps a cache from being taken away, and makes it the last to be taken away afterwards."""
        with self._idle_lock:
            self._idle.pop(id(cache), None)
        try:
            yield
        finally:
            with self._idle_lock:
                self._idle[id(cache)] = cache
                while len(self._idle) > self.max_idle_caches:
                    self._idle.pop(next(iter(self._idle))).release()

    @property
    def stop_ids(self) -> set[int]:
        """Ids of the tokens that end an answer."""
        eos = self.generation_config.eos_token_id
        return set(eos) if isinstance(eos, list) else {eos} - {None}

    @property
    def context_length(self) -> int:
        """How many tokens, prompt and answer together, the model was made for."""
        names = ("max_position_embeddings", "seq_length")
        return next((getattr(self.config, name) for name in names if hasattr(self.config, name)), sys.maxsize)

    @property
    def longest(self) -> int:
        """How many tokens can be fed at all."""
        return sys.maxsize if self.can_exceed_context else self.context_length

    def sequence_axis(self, variable: ov.op.util.Variable) -> int:
        """The axis of a state variable that grows with the sequence: the dynamic one that is not the batch."""
        return next(axis for axis, size in enumerate(variable.info.data_shape) if axis > 0 and size.is_dynamic)


class OVMPTModel(OVChatModel):
    """MPT. It knows positions by ALiBi, whose biases the graph has for `max_seq_len` tokens: beyond them it fails."""

    can_exceed_context = False

    @property
    def context_length(self) -> int:
        return self.config.max_seq_len


class OVQWENModel(OVChatModel):
    """Qwen v1. Beyond `seq_length` the original scales its rotary base and its queries.

    Both are added to the graph where this project converted the model. Elsewhere the context ends there.
    """

    can_exceed_context = False

    def __init__(self, model: ov.Model, config: PreTrainedConfig, **kwargs: Any) -> None:
        if hasattr(config, SCALED_CONTEXT):
            add_qwen_scaling(model, config.seq_length)
            self.scaled_beyond = config.seq_length
        self._alpha = 1.0
        super().__init__(model, config, **kwargs)

    @property
    def context_length(self) -> int:
        unscaled = min(super().context_length, getattr(self.config, "seq_length", sys.maxsize))
        return getattr(self.config, SCALED_CONTEXT, unscaled)

    def prepare_inputs(self, *args: Any, **kwargs: Any) -> dict:
        inputs = super().prepare_inputs(*args, **kwargs)
        rows, length = inputs["input_ids"].shape
        if self._past_length == 0:
            self._alpha = ntk_alpha(length, self.scaled_beyond)
        if NTK_ALPHA in self.input_names:
            inputs[NTK_ALPHA] = np.full(rows, self._alpha, np.float32)
        return inputs


class OVCHATGLM2Model(OVChatModel):
    """ChatGLM2 and 3, as the GLM that they are or as an older Optimum Intel exported them."""

    def sequence_axis(self, variable: ov.op.util.Variable) -> int:
        """Older exports keep [tokens, batch, groups, size], with two dynamic axes at the front."""
        return 0 if variable.info.data_shape[1].is_dynamic else super().sequence_axis(variable)


class OVPhi3Model(OVChatModel):
    """Phi-3 and Phi-4-mini. Beyond `original_max_position_embeddings` all keys would have to be computed anew."""

    can_exceed_context = False

    @property
    def context_length(self) -> int:
        return min(self.config.original_max_position_embeddings, self.config.max_position_embeddings)


# A key is the `model_type` of the checkpoint, for an architecture that needs a class of its own; the others use
# `OVChatModel`.
model_classes: dict[str, type[OVChatModel]] = {
    "chatglm": OVCHATGLM2Model,
    "mpt": OVMPTModel,
    "phi3": OVPhi3Model,
    "qwen": OVQWENModel,
}


def load_model(model_dir: Path | str, device: str = "CPU", ov_config: dict[str, Any] | None = None) -> OVChatModel:
    """Compiles a converted folder for a device.

    What the runtime compiles is kept in the folder, so that the next start is faster.

    Args:
        model_dir: what `convert_model` returned.
        device: one of OpenVINO's devices ("CPU", "GPU", "GPU.1", "NPU") or "AUTO".
        ov_config: properties for the runtime; they win over those set here.

    Raises:
        UserError: the folder is not a whole converted model, there is no such device on this machine, or
            the device can't run the model.
    """
    model_dir = Path(model_dir)
    check_complete(model_dir)
    check_device(device)
    # OpenVINO does the work; torch only carries ids and logits for `generate`. Its idle threads would take the cores.
    torch.set_num_threads(1)
    config = read_model_config(model_dir)
    model_class = model_classes.get(getattr(config, ORIGINAL_MODEL_TYPE, config.model_type), OVChatModel)
    cache = compile_cache(model_dir)
    defaults = {"PERFORMANCE_HINT": "LATENCY", **device_properties(model_dir, device)}
    ov_config = {**defaults, **cache, **(ov_config or {})}

    def load() -> OVChatModel:
        # Not `from_pretrained`, which has classes of its own for some architectures and would give one of those.
        graph = model_class.load_model(model_dir / MODEL_XML)
        check_state(graph, model_dir)
        generation_config = GenerationConfig.from_pretrained(model_dir)
        generation_config.cache_implementation = None  # the cache is in the graph
        return model_class(
            graph,
            config,
            device=device,
            ov_config=dict(ov_config),
            model_save_dir=model_dir,
            generation_config=generation_config,
        )

    try:
        try:
            return load()
        except RuntimeError:
            if not cache:
                raise
            shutil.rmtree(cache["CACHE_DIR"], ignore_errors=True)  # perhaps it was that
            return load()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{device} can't run {model_dir} ({reason}); try another device or convert again.") from error


def read_model_config(model_dir: Path) -> PreTrainedConfig:
    """What the folder's `config.json` says, but for `auto_map`, which names Python files to run.

    Raises:
        UserError: it says nothing that is of use.
    """
    try:
        facts = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
        facts.pop("auto_map", None)
        known = facts["model_type"] in CONFIG_MAPPING
        # Folders of an older Optimum Intel may name an architecture that Transformers has not.
        return (CONFIG_MAPPING[facts["model_type"]] if known else PreTrainedConfig).from_dict(facts)
    except (ValueError, KeyError, TypeError, AttributeError, StrictDataclassError) as error:
        raise UserError(f"{model_dir / 'config.json'} is damaged; remove {model_dir} and convert again.") from error


def check_state(graph: ov.Model, model_dir: Path) -> None:
    """Refuses a model whose state is not the keys and values of its tokens: a conversation could not be continued.

    Raises:
        UserError: it is a state-space model, or has no state.
    """
    shapes = [list(variable.info.data_shape) for variable in graph.get_variables()]
    if not shapes:
        raise UserError(f"{model_dir} was exported without a KV cache in the graph; convert the model again.")
    if not all(any(size.is_dynamic for size in shape[1:]) for shape in shapes):
        raise UserError(
            f"{model_dir} has a state-space model, whose memory can't be cut back to an earlier turn; "
            f"choose a model of another kind."
        )


def device_properties(model_dir: Path, device: str) -> dict[str, str]:
    """What the runtime is told for one device and not for another."""
    if device.upper() == "CPU":
        # A thread bound to a core waits for whatever else runs there, be it the browser, while another core is free.
        return {"ENABLE_CPU_PINNING": "NO"}
    precision = read_manifest(model_dir).get("gpu_precision")
    may_be_gpu = device.upper().startswith(("GPU", *META_DEVICES))
    return {"INFERENCE_PRECISION_HINT": precision} if precision and may_be_gpu else {}


def compile_cache(model_dir: Path) -> dict[str, str]:
    """The runtime's property that names where compiled models are kept, or none where nothing can be written.

    The folder's name stands for the model's files as they are now. One that stands for earlier files is removed.
    """
    files = [model_dir / MODEL_XML, model_dir / MODEL_BIN]
    facts = [(path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    root = model_dir / "model_cache"
    current = root / hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    try:
        current.mkdir(parents=True, exist_ok=True)
        for other in set(root.iterdir()) - {current}:
            shutil.rmtree(other, ignore_errors=True)
    except OSError:
        return {}
    return {"CACHE_DIR": str(current)} if os.access(current, os.W_OK) else {}


def available_devices() -> list[str]:
    """The devices of this machine that a model can be loaded on, "AUTO" last."""
    return [*ov.Core().available_devices, "AUTO"]


def check_device(device: str) -> None:
    """Raises a `UserError` that lists the devices where `device`, or one it stands for, is not on this machine."""
    known = available_devices()
    known_families = {name.split(".")[0] for name in known}
    meta, _, rest = device.upper().partition(":")
    wanted = rest.split(",") if rest and meta in META_DEVICES else [device.upper()]
    if not set(wanted) <= {*known, *known_families}:
        raise UserError(f"There is no device {device!r} on this machine; choose one of: {', '.join(known)}.")
