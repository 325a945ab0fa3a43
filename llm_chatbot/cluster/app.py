"""The application for Ray Serve: an ingress with the API, and a deployment of engines for each model.

    client → ingress (the app of `llm_chatbot.api.service`) → Ray's router → a replica with the engine

Requests of one conversation go to the same replica as long as it is there and has room: Ray's router hashes the
beginning of the conversation, so the replica has the rest of it in its blocks.
"""

import logging
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import Application
from ray.serve.config import RequestRouterConfig
from ray.serve.schema import LoggingConfig

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.question import Question
from llm_chatbot.answering.served import LocalModel, ServedFacts
from llm_chatbot.answering.service import Answering
from llm_chatbot.api.keys import KEYS_VARIABLE, read_keys
from llm_chatbot.api.service import create_app
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.cluster.backend import ClusterModel
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.session import Answer
from llm_chatbot.engine.text.tokenizer import FolderTokenizer
from llm_chatbot.folder.found import converted_folder

logger = logging.getLogger(__name__)

# Requests that a replica has accepted are finished before it is stopped in an update.
SHUTDOWN_SECONDS = 300
# Between two states of an answer that a replica sends: each costs milliseconds on its way through Ray.
STATE_SECONDS = 0.1

LOGGING = LoggingConfig(enable_access_log=False)
ROUTER = "ray.serve.experimental.consistent_hash_router:ConsistentHashRouter"


class ModelSettings(BaseModel):
    """A model of the cluster.

    Attributes:
        name, precision, device: as for `llm-chatbot serve`; the name is also what requests call it.
        cores: of each replica.
        min_replicas, max_replicas: bounds of the autoscaling.
        target_ongoing_requests: answers at a time in a replica, above which another one is started.
        upscale_seconds, downscale_seconds: how long there must be more than that, or less, before replicas come or go.
        max_concurrent: answers at a time in a replica; more wait in the ingress.
        max_waiting: how many may wait; beyond that requests are refused with 429.
        kv_cache_gb: memory of a replica for keys and values.
        properties: of OpenVINO.
        version: any text; a new one replaces all replicas, one after the other.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    precision: str = "INT4"
    device: str = "CPU"
    cores: int = Field(4, ge=1)
    min_replicas: int = Field(1, ge=0)
    max_replicas: int = Field(1, ge=1)
    target_ongoing_requests: float = 8
    upscale_seconds: float = 30
    downscale_seconds: float = 600
    max_concurrent: int = 16
    max_waiting: int = 64
    kv_cache_gb: float | None = Field(None, gt=0)
    properties: dict[str, str] = {}
    version: str = ""


class Arguments(BaseModel):
    """The arguments of the application, from the `args` of a config file.

    Attributes:
        models: those to serve.
        output: the folder of the converted models, the same on every node.
        api_keys: file with one API key a line; None: those in the environment of the ingress.
        ingress_replicas: how many processes speak HTTP.
    """

    model_config = ConfigDict(extra="forbid")

    models: list[ModelSettings]
    output: Path = Path(".")
    api_keys: Path | None = None
    ingress_replicas: int = 1


class Engine:
    """A replica: one model, in threads beside the event loop, so health checks are answered while it computes."""

    def __init__(self, model: dict[str, Any], output: str) -> None:
        served = ModelSettings(**model)
        folder = converted_folder(served.name, served.precision, Path(output))
        properties = {"INFERENCE_NUM_THREADS": str(served.cores), **served.properties}
        compiled = open_model(folder, served.device, properties, served.kv_cache_gb)
        config, where = get_model_config(served.name), (served.precision, served.device)
        loaded = LoadedModel(compiled, FolderTokenizer(folder), config, served.name, *where)
        # Ray sends no more than `max_concurrent`, but may send one before it has seen another end.
        answering = Answering(lambda key: loaded, served.max_concurrent, served.max_concurrent)
        self._model = LocalModel(answering, loaded, interval=STATE_SECONDS)

    async def facts(self) -> ServedFacts:
        return await self._model.facts()

    async def generate(self, question: Question) -> AsyncGenerator[Answer, None]:
        async with aclosing(self._model.generate(question)) as answers:
            async for answer in answers:
                yield answer

    async def prompt_ids(self, question: Question) -> Sequence[int]:
        return await self._model.prompt_ids(question)

    async def encode(self, text: str, control_tokens: bool) -> Sequence[int]:
        return await self._model.encode(text, control_tokens)

    async def decode(self, ids: Sequence[int]) -> str:
        return await self._model.decode(ids)


def deployment_name(model: str) -> str:
    return "engine-" + re.sub(r"[^A-Za-z0-9]+", "-", model)


def engine(model: ModelSettings, output: Path) -> Application:
    """The deployment of one model."""
    deployment = serve.deployment(
        name=deployment_name(model.name),
        ray_actor_options={"num_cpus": model.cores},
        max_ongoing_requests=model.max_concurrent,
        max_queued_requests=model.max_waiting,
        graceful_shutdown_timeout_s=SHUTDOWN_SECONDS,
        logging_config=LOGGING,
        health_check_period_s=2,
        health_check_timeout_s=10,
        autoscaling_config={
            "min_replicas": model.min_replicas,
            "max_replicas": model.max_replicas,
            "initial_replicas": max(model.min_replicas, 1),
            "target_ongoing_requests": model.target_ongoing_requests,
            "upscale_delay_s": model.upscale_seconds,
            "downscale_delay_s": model.downscale_seconds,
        },
        request_router_config=RequestRouterConfig(request_router_class=ROUTER),
    )(Engine)
    return deployment.bind(model.model_dump(), str(output.resolve()))


def build(arguments: Arguments) -> Application:
    """The application of a config file. Warns if anybody on the network may ask."""
    if not read_keys(arguments.api_keys):
        logger.warning("Anyone who can reach the cluster's port can use its models; set %s or api_keys.", KEYS_VARIABLE)
    names = [model.name for model in arguments.models]
    keys = arguments.api_keys

    def make_app() -> FastAPI:
        models = {name: ClusterModel(deployment_name(name)) for name in names}
        return create_app(models, read_keys(keys))

    class Ingress:
        def __init__(self, *engines: Any) -> None:
            """The engines are deployed with the ingress because they are its arguments; it finds them by name."""

    deployment = serve.deployment(
        name="ingress",
        num_replicas=arguments.ingress_replicas,
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0},
        logging_config=LOGGING,
        graceful_shutdown_timeout_s=SHUTDOWN_SECONDS,
    )(serve.ingress(make_app)(Ingress))
    return deployment.bind(*[engine(model, arguments.output) for model in arguments.models])
