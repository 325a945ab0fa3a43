"""The models whose licence is accepted on their page first, from small to large; see `catalogue.rows`."""

from llm_chatbot.catalogue.chat_formats import LLAMA_2
from llm_chatbot.catalogue.row import OPTIMUM, Int4Settings, ModelConfig
from llm_chatbot.catalogue.system_prompts import SYSTEM_PROMPT

GATED_MODELS: dict[str, ModelConfig] = {
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
        description="Reads pictures too; well-written answers in many languages.",
        license="Gemma Terms of Use",
        parameters=4_300_079_472,
        kv_values=69_632,
        gated=True,
    ),
    "llama-2-chat-7b": ModelConfig(
        model_id="meta-llama/Llama-2-7b-chat-hf",
        description="Long the standard, English, quick to refuse; of historical interest, Llama 3.1 is better.",
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
