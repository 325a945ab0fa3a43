"""A converted folder → a model on a device → a conversation that streams.

In layers, each a loop over the one below: `KVCache.feed` gives logits for tokens, `stream_ids` gives token
ids, `ChatSession.stream` gives text. The caller drives them and closes them; nothing runs on its own.
"""

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

# Before the libraries below: importing it keeps them from reporting usage.
from config import UserError

# isort: split
import numpy as np
import openvino as ov
from optimum.intel import OVModelForCausalLM
from tokenizers.decoders import DecodeStream
from transformers import AutoConfig, PreTrainedTokenizerFast

from model_folder import check_complete
from sampling import Sampling, choose

# Devices that stand for others, as in "AUTO" or "AUTO:GPU,CPU".
META_DEVICES = ("AUTO", "HETERO", "MULTI")


class OVChatModel(OVModelForCausalLM):
    """Optimum Intel's model, plus a KV cache that a conversation can own."""

    def new_cache(self) -> "KVCache":
        """An empty KV cache of its own on the compiled model, whose weights it shares."""
        self.compile()
        return KVCache(self.model, self.request.get_compiled_model().create_infer_request())

    @property
    def stop_ids(self) -> set[int]:
        """Ids of the tokens that end an answer."""
        eos = self.generation_config.eos_token_id
        return set(eos) if isinstance(eos, list) else {eos}


# A key is a `model_type`, for an architecture that needs a class of its own; the others use `OVChatModel`.
model_classes: dict[str, type[OVChatModel]] = {}


def load_model(model_dir: Path | str, device: str = "CPU", ov_config: dict[str, Any] | None = None) -> OVChatModel:
    """Compiles a converted folder for a device.

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
    config = AutoConfig.from_pretrained(model_dir)
    model_class = model_classes.get(config.model_type, OVChatModel)
    ov_config = {"PERFORMANCE_HINT": "LATENCY", **(ov_config or {})}
    try:
        return model_class.from_pretrained(model_dir, config=config, device=device, ov_config=ov_config)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{device} can't run {model_dir} ({reason}); try another device or convert again.") from error


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


class KVCache:
    """The keys and values of one sequence of tokens, in an infer request of their own.

    Attributes:
        ids: the tokens whose keys and values are held, in order.
    """

    def __init__(self, model: ov.Model, request: ov.InferRequest) -> None:
        self.ids: list[int] = []
        self._request = request
        self._input_names = {name for port in model.inputs for name in port.names}
        self._sequence_axis = {
            variable.info.variable_id: _sequence_axis(variable) for variable in model.get_variables()
        }

    def reset(self) -> None:
        self._request.reset_state()
        self.ids = []

    def keep_prefix(self, ids: Sequence[int]) -> int:
        """Cuts the cache back to the tokens that it has in common with `ids`, and returns how many that are."""
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self.ids, ids, strict=False)))
        if common == 0:
            self.reset()
        elif common < len(self.ids):
            for state in self._request.query_state():
                axis = self._sequence_axis[state.name]
                state.state = ov.Tensor(np.take(state.state.data, range(common), axis))
            self.ids = self.ids[:common]
        return common

    def feed(self, ids: Sequence[int]) -> np.ndarray:
        """Appends tokens to the sequence and returns the logits after the last one, float32 [vocabulary].

        The array is the runtime's own: it holds until the next call.
        """
        past, total = len(self.ids), len(self.ids) + len(ids)
        inputs = {
            "input_ids": np.array([ids], dtype=np.int64),
            "attention_mask": np.ones((1, total), dtype=np.int64),
            "position_ids": np.arange(past, total, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
        }
        held, self.ids = self.ids, []  # should the runtime fail, what it holds is unknown
        self._request.infer({name: inputs[name] for name in self._input_names}, share_inputs=True)
        self.ids = [*held, *ids]
        return self._request.get_tensor("logits").data[0, -1]


def _sequence_axis(variable: ov.op.util.Variable) -> int:
    """The axis of a state variable that grows with the sequence: the dynamic one that is not the batch."""
    return next(axis for axis, size in enumerate(variable.info.data_shape) if axis > 0 and size.is_dynamic)


def stream_ids(
    cache: KVCache, ids: Sequence[int], sampling: Sampling, stop_ids: set[int], seed: int | None = None
) -> Generator[int, None, None]:
    """Continues a sequence, one token at a time, for as long as the caller asks and until a stop token.

    Closing the generator ends the work. The cache then holds all tokens that were fed: the last one that
    was yielded is among them only if another was asked for.

    Args:
        cache: what comes before `ids`.
        ids: at least one token.
        sampling: how each token is chosen.
        stop_ids: tokens that end the answer; they are not yielded.
        seed: makes sampling repeatable; None takes a new one each time.
    """
    random = np.random.default_rng(seed)
    logits = cache.feed(ids)
    seen = np.unique(cache.ids)
    while (token := choose(logits, seen, sampling, random)) not in stop_ids:
        yield token
        logits = cache.feed([token])
        seen = np.union1d(seen, token)


@dataclass(frozen=True)
class Answer:
    """What there is of an answer at one moment.

    Attributes:
        text: all of it so far.
        prompt_tokens: length of the prompt.
        cached_tokens: how many of those were in the KV cache and cost nothing.
        completion_tokens: length of the answer so far.
        time_to_first_token: seconds.
        tokens_per_second: of decoding, without the first token; 0.0 before the second.
        finish_reason: "stop" where the model ended it, "length" at `max_new_tokens`, None before that.
    """

    text: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int = 0
    time_to_first_token: float = 0.0
    tokens_per_second: float = 0.0
    finish_reason: str | None = None


class ChatSession:
    """One conversation with a model.

    Attributes:
        messages: all turns so far, as `{"role": …, "content": …}`; free to change between two answers.
        system_prompt: put before the messages; None leaves that to the chat template.
    """

    def __init__(
        self, model: OVChatModel, tokenizer: PreTrainedTokenizerFast, system_prompt: str | None = None
    ) -> None:
        self.messages: list[dict[str, str]] = []
        self.system_prompt = system_prompt
        self._model = model
        self._tokenizer = tokenizer
        self._cache = model.new_cache()

    def reset(self) -> None:
        """Forgets the conversation."""
        self.messages = []
        self._cache.reset()

    def stream(
        self,
        text: str,
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        repetition_penalty: float = 1.0,
        max_new_tokens: int = 256,
        seed: int | None = None,
    ) -> Generator[Answer, None, None]:
        """Says `text` to the model and yields its answer after every token.

        Closing the iterator stops the answer, and the conversation keeps what there is of it.

        Args:
            text: the user's message.
            temperature, top_p, top_k, repetition_penalty: see `Sampling`.
            max_new_tokens: the longest answer, in tokens.
            seed: makes sampling repeatable.
        """
        started = time.perf_counter()
        sampling = Sampling(temperature, top_k, top_p, repetition_penalty)
        reply = {"role": "assistant", "content": ""}
        turn = [{"role": "user", "content": text}, reply]
        prompt_ids = self._prompt_ids([*self.messages, turn[0]])
        cached = self._cache.keep_prefix(prompt_ids[:-1])  # the last one is fed again to have its logits
        answer = Answer("", len(prompt_ids), cached)

        decoder = DecodeStream(skip_special_tokens=True)
        answer_ids: list[int] = []
        stop_ids = self._model.stop_ids
        with closing(stream_ids(self._cache, prompt_ids[cached:], sampling, stop_ids, seed)) as stream:
            for token in islice(stream, max_new_tokens):
                if not answer_ids:  # from here on there is something to keep, whatever happens
                    self.messages += turn
                    first = time.perf_counter()
                answer_ids.append(token)
                # None while the bytes of a character are not all there.
                reply["content"] += decoder.step(self._tokenizer.backend_tokenizer, token) or ""
                answer = replace(
                    answer,
                    text=reply["content"],
                    completion_tokens=len(answer_ids),
                    time_to_first_token=first - started,
                    tokens_per_second=(len(answer_ids) - 1) / (time.perf_counter() - first),
                )
                yield answer
        if not answer_ids:
            self.messages += turn
        reply["content"] = self._tokenizer.decode(answer_ids, skip_special_tokens=True)
        ended = "length" if len(answer_ids) == max_new_tokens else "stop"
        yield replace(answer, text=reply["content"], finish_reason=ended)

    def _prompt_ids(self, messages: list[dict[str, str]]) -> list[int]:
        if self.system_prompt is not None:
            messages = [{"role": "system", "content": self.system_prompt}, *messages]
        return self._tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
