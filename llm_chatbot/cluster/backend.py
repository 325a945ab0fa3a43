"""Where the ingress of a cluster has its answers from: the replicas, by Ray's handles."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import grpc
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException

from llm_chatbot.answering.question import Question
from llm_chatbot.answering.served import ServedFacts
from llm_chatbot.api.errors import APIError
from llm_chatbot.engine.session import Answer

RETRY_AFTER = 5
REPLICA_ATTEMPTS = 3  # the router may not know yet that the second replica is gone too

# What Ray raises if a replica, its node or the way to it is lost. The connection to a replica that was killed may end
# with any of gRPC's errors.
LOST = (RayError, RayServeException, grpc.RpcError)


class ClusterModel:
    """An `answering.served.ServedModel` whose answers come from a deployment of engines.

    Args:
        deployment: its name, in the same application.
    """

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._handle: Any = None
        self._facts: ServedFacts | None = None

    async def facts(self) -> ServedFacts:
        if self._facts is None:
            self._facts = await self._called("facts")
        return self._facts

    async def prompt_ids(self, question: Question) -> Sequence[int]:
        return await self._called("prompt_ids", question)

    async def encode(self, text: str, control_tokens: bool) -> Sequence[int]:
        return await self._called("encode", text, control_tokens)

    async def decode(self, ids: Sequence[int]) -> str:
        return await self._called("decode", ids)

    async def generate(self, question: Question) -> AsyncGenerator[Answer, None]:
        """Asks another replica if one is lost before its first token; after that the client has to ask again."""
        begun = False
        for attempt in range(1, REPLICA_ATTEMPTS + 1):
            handle = self._connected().options(stream=True, session_id=question.conversation)
            answers = handle.generate.remote(question)
            try:
                async for answer in answers:
                    begun = begun or answer.completion_tokens > 0
                    yield answer
                return
            except BackPressureError as error:
                raise busy() from error
            except RayTaskError as error:
                raise cause_of(error) from error
            except LOST as error:
                if begun or attempt == REPLICA_ATTEMPTS or isinstance(error, DeploymentUnavailableError):
                    raise unavailable() from error
            finally:
                answers.cancel()

    async def _called(self, method: str, *arguments: Any) -> Any:
        """The result of a replica's method."""
        try:
            return await getattr(self._connected(), method).remote(*arguments)
        except BackPressureError as error:
            raise busy() from error
        except RayTaskError as error:
            raise cause_of(error) from error
        except LOST as error:
            raise unavailable() from error

    def _connected(self) -> Any:
        if self._handle is None:
            self._handle = serve.get_deployment_handle(self._deployment)
        return self._handle


def busy() -> APIError:
    return APIError("cluster.busy", 429, code="server_busy", retry_after=RETRY_AFTER, seconds=RETRY_AFTER)


def unavailable() -> APIError:
    return APIError("cluster.lost", 503, code="replica_lost", retry_after=RETRY_AFTER, seconds=RETRY_AFTER)


def cause_of(error: RayTaskError) -> Exception:
    """The error that ended the answer in the replica."""
    cause = error.cause
    return cause if isinstance(cause, Exception) else RuntimeError(str(cause))
