"""Models as a service with OpenAI's API: `llm-chatbot serve --help`."""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_chatbot.answering.limits import MAX_TOKENS
from llm_chatbot.api.address import LOCAL_HOSTS, check_port
from llm_chatbot.api.keys import KEYS_VARIABLE, read_keys
from llm_chatbot.api.ollama.tags import DEFAULT_TAG
from llm_chatbot.catalogue.adapter_names import AdapterSource, read_named_adapter
from llm_chatbot.catalogue.encoders import ENCODERS, get_encoder_config
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.commands.options import (
    Caller,
    Parser,
    add_access_options,
    add_address_options,
    add_idle_option,
    add_model_options,
    add_queue_options,
    check_at_least,
    check_idle,
    draft_options,
    idle_seconds,
    interrupt_on_sigterm,
    leave_out_converters,
    memory_options,
    prepare,
    set_log_level,
    settle_precision,
)
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.folder.served import Source, models_in, served_name

if TYPE_CHECKING:
    from llm_chatbot.answering.models import LoadedModel
    from llm_chatbot.answering.served import LocalModel
    from llm_chatbot.answering.service import Answering
    from llm_chatbot.api.encoders import ServedEncoders

CALLER = Caller("python -m llm_chatbot.commands.serve")


def main(argv: Sequence[str] | None = None, caller: Caller = CALLER) -> int:
    try:
        arguments = parser(caller).parse_intermixed_args(argv)
        set_log_level(arguments.log_level)
        sources, adapters = check_service(arguments, caller)
        prepare_all(arguments, caller)
        leave_out_converters()
        serve(arguments, sources, adapters)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def parser(caller: Caller = CALLER) -> Parser:
    parser = Parser(caller, "Serve models with OpenAI's API.")
    parser.add_argument("models", nargs="*", metavar="model", help="as --model")
    help = f"name of a model, or a .gguf file; may be given more than once (default: {DEFAULT_MODEL})"
    parser.add_argument("--model", action="append", default=[], help=help)
    parser.add_argument("--models-dir", type=Path, help="serve each converted model and .gguf file in this folder")
    add_model_options(parser, caller, named=False)
    add_address_options(parser, 8000)
    parser.add_argument("--api-keys", type=Path, help=f"file with one API key a line (default: {KEYS_VARIABLE})")
    add_access_options(parser)
    add_queue_options(parser)
    parser.add_argument(
        "--max-tokens", type=int, default=MAX_TOKENS, help=f"most tokens of one answer (default: {MAX_TOKENS})"
    )
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME=ADAPTER",
        help="LoRA adapter that requests choose by the model's name and its own, model:NAME; a folder or a .gguf file, "
        "may be given more than once",
    )
    add_idle_option(parser)
    add_encoder_options(parser)
    parser.add_argument(
        "--exact", action="store_true", help="compute in 32 bits: the same answers beside any load, and slower"
    )
    return parser


def check_service(
    arguments: argparse.Namespace, caller: Caller = CALLER
) -> tuple[dict[str, Source], dict[str, AdapterSource]]:
    """Checks the arguments before anything slow is imported. Warns if anybody on the network may ask.

    Returns:
        The models and the adapters, by name.

    Raises:
        UserError: an argument is wrong.
    """
    sources, adapters = served_sources(arguments, caller), named_adapters(arguments)
    if not caller.converts:
        prepare_all(arguments, caller)
    check_port(arguments.host, arguments.port)
    check_at_least(arguments, max_concurrent=1, max_waiting=0, max_tokens=1)
    check_idle(arguments)
    for name in (*arguments.embedding_model, *arguments.rerank_model):
        get_encoder_config(name)
    if isinstance(arguments.mmproj, Path) and len(sources) > 1:
        raise UserError("mmproj.one_model")
    if adapters and len(sources) > 1:
        raise UserError("adapter.one_model")
    if arguments.exact and arguments.kv_cache_precision != "auto":
        raise UserError("command.exact_cache")
    if not read_keys(arguments.api_keys) and arguments.host not in LOCAL_HOSTS:
        print(
            f"Anyone who can reach {arguments.host} can use this model; require a key with --api-keys.", file=sys.stderr
        )
    return sources, adapters


def named_adapters(arguments: argparse.Namespace) -> dict[str, AdapterSource]:
    """The adapters by the names that requests call them.

    Raises:
        UserError: one has no name, another's or that of Ollama's default tag, or isn't there.
    """
    adapters: dict[str, AdapterSource] = {}
    for name, source in map(read_named_adapter, arguments.adapter):
        if name == DEFAULT_TAG:
            raise UserError("adapter.default_tag", name=name)
        if name in adapters:
            raise UserError("adapter.same_name", name=name)
        adapters[name] = source
    return adapters


def add_encoder_options(parser: argparse.ArgumentParser) -> None:
    known = ", ".join(ENCODERS)
    parser.add_argument(
        "--embedding-model",
        action="append",
        default=[],
        metavar="NAME",
        help=f"encoder for embeddings: {known}, a folder, or a repository of the Hub; may be given more than once",
    )
    parser.add_argument(
        "--rerank-model",
        action="append",
        default=[],
        metavar="NAME",
        help="encoder that reads a question and a text together; may be given more than once",
    )


def open_encoders(arguments: argparse.Namespace) -> "ServedEncoders":
    """
    Raises:
        UserError: see `llm_chatbot.encoder.loading.load_encoder`.
    """
    from llm_chatbot.api.encoders import ServedEncoders
    from llm_chatbot.encoder.loading import load_cross_encoder, load_encoder

    embedding = [load_encoder(name, arguments.device) for name in dict.fromkeys(arguments.embedding_model)]
    reranking = [load_cross_encoder(name, arguments.device) for name in dict.fromkeys(arguments.rerank_model)]
    return ServedEncoders({one.name: one for one in embedding}, {one.name: one for one in reranking})


def wanted_models(arguments: argparse.Namespace) -> list[argparse.Namespace]:
    """The arguments of each model that is named."""
    names = [*arguments.models, *arguments.model]
    if not names and arguments.models_dir is None:
        names = [DEFAULT_MODEL]
    return [argparse.Namespace(**{**vars(arguments), "model": name}) for name in dict.fromkeys(names)]


def prepare_all(arguments: argparse.Namespace, caller: Caller) -> None:
    for wanted in wanted_models(arguments):
        prepare(wanted, caller)


def served_sources(arguments: argparse.Namespace, caller: Caller) -> dict[str, Source]:
    """The models by name: those that are named, and those in a folder.

    Raises:
        UserError: there is no such model, none in the folder, or two have one name.
    """
    sources: dict[str, Source] = {}
    for wanted in wanted_models(arguments):
        config = get_model_config(wanted.model)
        settle_precision(wanted)
        add_source(sources, served_name(wanted.model, config), Source(wanted.model, wanted.precision, arguments.output))
    if arguments.models_dir is not None:
        for name, source in models_in(arguments.models_dir, arguments.precision).items():
            add_source(sources, name, source)
    return sources


def add_source(sources: dict[str, Source], name: str, source: Source) -> None:
    if name in sources:
        raise UserError("model.same_name", name=name)
    sources[name] = source


def served_models(
    answering: "Answering", models: Mapping[str, "LoadedModel"], adapters: Sequence[str], max_tokens: int
) -> dict[str, "LocalModel"]:
    """The models by name, and beside the only one those that it is with each of its adapters: "model:adapter"."""
    from llm_chatbot.answering.served import LocalModel

    served = {name: LocalModel(answering, loaded, loaded.key, max_tokens) for name, loaded in models.items()}
    for number, adapter in enumerate(adapters):
        ((name, loaded),) = models.items()
        weights = tuple(float(each == number) for each in range(len(adapters)))
        served[f"{name}:{adapter}"] = LocalModel(
            answering, loaded, loaded.key, max_tokens, adapter_name=adapter, adapter_weights=weights
        )
    return served


def serve(arguments: argparse.Namespace, sources: dict[str, Source], adapters: dict[str, AdapterSource]) -> None:
    """Serves until Ctrl+C or SIGTERM, which end what is being generated with an error.

    A model that is the only one is loaded before.
    """
    import uvicorn

    from llm_chatbot.answering.named_models import NamedModels
    from llm_chatbot.answering.service import Answering
    from llm_chatbot.api.service import allowed_names, create_app

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(f"API: http://{arguments.host}:{arguments.port}/v1", flush=True)

        async def shutdown(self, sockets: Any = None) -> None:
            # Before the connections are closed: uvicorn waits for their responses.
            await asyncio.gather(asyncio.to_thread(answering.close), super().shutdown(sockets))

    options = {**memory_options(arguments), **draft_options(arguments), "ov_config": EXACT if arguments.exact else {}}
    options["adapters"] = list(adapters.values())
    named = NamedModels(sources, arguments.device, idle_seconds(arguments), arguments.mmproj, **options)
    if len(named.models) == 1:
        named.get(next(iter(named.models.values())).key)
    answering = Answering(named.get, arguments.max_concurrent, arguments.max_waiting)
    served = served_models(answering, named.models, list(adapters), arguments.max_tokens)
    keys = read_keys(arguments.api_keys)
    names = allowed_names(arguments.host, keys, arguments.allowed_host)
    app = create_app(served, keys, names, arguments.cors_origin, open_encoders(arguments))
    config = uvicorn.Config(
        app, arguments.host, arguments.port, log_level="warning", access_log=False, timeout_graceful_shutdown=5
    )
    interrupt_on_sigterm()
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again after an orderly end
        Server(config).run()
    named.close()


if __name__ == "__main__":
    sys.exit(main())
