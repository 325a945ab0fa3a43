"""Proves the application on a cluster of two Ray nodes on this machine, and measures it: `make load`.

Every answer is compared with the one that the same conversation gets when it is alone.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # no token for a cluster of this machine alone
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",  # as docs/scale.md has it
    "RAY_raylet_start_wait_time_s": "120",  # on a busy machine
}

import psutil
import ray
from ray import serve
from ray.cluster_utils import Cluster

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.cluster.app import Arguments, build, deployment_name
from llm_chatbot.cluster.load import Load, run_load
from llm_chatbot.engine.precisions import EXACT

APPLICATION, INGRESS, ENGINE = "chat", "ingress", deployment_name(DEFAULT_MODEL)
INGRESS_REPLICAS = 2
SECONDS_TO_RECOVER = 30
LONGEST_WAIT = 300  # seconds for all replicas to be there


class Trial:
    """A cluster of two nodes with the application on it.

    Args:
        output: the folder of the converted models.
        port: of the API.
    """

    def __init__(self, output: Path, port: int) -> None:
        self.output, self.url = output, f"http://127.0.0.1:{port}/v1"
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        self.worker = self.cluster.add_node(num_cpus=1)
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level="error")
        serve.start(http_options={"host": "127.0.0.1", "port": port})

    def deploy(self, replicas: int, exact: bool = True, **more: Any) -> None:
        """Deploys the application, or begins to update it.

        Args:
            more: fields of its `ServedModel`.
        """
        model = {
            "name": DEFAULT_MODEL,
            "cores": 1,
            "min_replicas": replicas,
            "max_replicas": replicas,
            "kv_cache_gb": 0.5,
            "properties": EXACT if exact else {},  # else an answer's rounding depends on what else is in a call
            **more,
        }
        arguments = Arguments.model_validate(
            {"models": [model], "output": self.output, "ingress_replicas": INGRESS_REPLICAS}
        )
        target = serve.RunTarget(build(arguments), name=APPLICATION)
        serve.run_many([target], wait_for_applications_running=False)

    def redeploy(self, replicas: int, exact: bool = True, **more: Any) -> None:
        """Deploys the application anew, and warms it up."""
        if APPLICATION in serve.status().applications:
            serve.delete(APPLICATION)
        self.deploy(replicas, exact, **more)
        self.wait_until_whole(replicas)
        self.load(range(1000, 1000 + 4 * replicas), 4 * replicas)

    def processes(self, deployment: str) -> list[psutil.Process]:
        """Those of a deployment's replicas on this cluster."""
        name = f"ray::ServeReplica:{APPLICATION}:{deployment}"
        children = psutil.Process().children(recursive=True)
        return [process for process in children if process.is_running() and name in " ".join(command(process))]

    def running(self, deployment: str) -> int:
        """How many of its replicas Ray knows to be running; 0 while it is not healthy."""
        application = serve.status().applications.get(APPLICATION)
        if application is None or application.status != "RUNNING":
            return 0
        status = application.deployments[deployment]
        return status.replica_states.get("RUNNING", 0) if status.status == "HEALTHY" else 0

    def is_whole(self, replicas: int, old: Collection[int] = ()) -> bool:
        """Whether all replicas of the engine and of the ingress run, and none of the `old` processes."""
        for deployment, wanted in ((ENGINE, replicas), (INGRESS, INGRESS_REPLICAS)):
            now = {process.pid for process in self.processes(deployment)}
            if len(now) != wanted or now & set(old) or self.running(deployment) != wanted:
                return False
        return True

    def wait_until_whole(self, replicas: int, old: Collection[int] = ()) -> None:
        """Waits for `is_whole`.

        Raises:
            TimeoutError: it took longer than `LONGEST_WAIT`.
        """
        started = time.monotonic()
        while not self.is_whole(replicas, old):
            if time.monotonic() - started > LONGEST_WAIT:
                raise TimeoutError(f"{replicas} replicas were not there after {LONGEST_WAIT} s")
            time.sleep(0.2)

    def core_seconds(self) -> tuple[float, float]:
        """The processor seconds of the replicas so far, and of everything on the cluster."""
        engines = sum(map(cpu_seconds, self.processes(ENGINE)))
        return engines, sum(map(cpu_seconds, psutil.Process().children(recursive=True)))

    def load(self, conversations: range, at_once: int) -> Load:
        return asyncio.run(run_load(self.url, DEFAULT_MODEL, conversations, at_once))

    def disturbed(self, conversations: range, disturb: Callable[[], Collection[int]]) -> tuple[Load, float]:
        """Load with something happening in the middle of it, and the seconds until the service was whole again.

        Args:
            disturb: does it, and returns the processes that have to go.
        """

        async def both() -> tuple[Load, float]:
            load = asyncio.create_task(run_load(self.url, DEFAULT_MODEL, conversations, len(conversations)))
            await asyncio.sleep(3)
            started = time.monotonic()  # removing a node already takes as long as its loss takes to be noticed
            old = await asyncio.to_thread(disturb)
            await asyncio.to_thread(self.wait_until_whole, 2, old)
            seconds = time.monotonic() - started
            return await load, seconds

        return asyncio.run(both())

    # What happens in the middle of the load; each returns the processes that have to go.

    def kill_replica(self) -> list[int]:
        process = self.processes(ENGINE)[0]
        process.kill()
        return [process.pid]

    def remove_node(self) -> list[int]:
        raylet = self.worker.all_processes["raylet"][0].process.pid
        there = self.processes(ENGINE) + self.processes(INGRESS)
        old = [process.pid for process in there if process.ppid() == raylet]
        self.cluster.remove_node(self.worker, allow_graceful=False)
        return old

    def update(self) -> list[int]:
        old = [process.pid for process in self.processes(ENGINE)]
        self.deploy(2, version="2")
        return old

    def close(self) -> None:
        serve.shutdown()
        ray.shutdown()
        self.cluster.shutdown()


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0.0
    return times.user + times.system


def report(title: str, load: Load, alone: Load, *more: str) -> bool:
    """Prints a run; whether all its answers are there and are those of conversations that are alone."""
    wrong = load.differences(alone)
    print(f"{title}: {load.summary()}, {wrong} differ{''.join(f', {text}' for text in more)}", flush=True)
    for error in sorted({turn.error for turn in load.turns if turn.error}):
        print(f"  {error}", flush=True)
    return not wrong and not any(turn.error for turn in load.turns)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("."), help="folder of the converted models")
    parser.add_argument("--port", type=int, default=8199)
    parser.add_argument("--conversations", type=int, default=64, help="at once, on two replicas (default: 64)")
    parser.add_argument("--parts", nargs="+", choices=TRIALS, default=list(TRIALS), help="of the trial (default: all)")
    arguments = parser.parse_args()
    trial = Trial(arguments.output, arguments.port)
    many = range(arguments.conversations)
    try:
        good = [good for part in arguments.parts for good in TRIALS[part](trial, many)]
    finally:
        trial.close()
    return 0 if all(good) else 1


def throughput(trial: Trial, many: range) -> Iterator[bool]:
    """Measures the application with the runtime's own precision; whether every request was answered."""
    for replicas, conversations, at_once in ((1, range(8), 1), (1, range(100, 132), 16), (1, many, len(many))):
        yield measured(trial, replicas, conversations, at_once)
    yield measured(trial, 2, many, len(many))


def measured(trial: Trial, replicas: int, conversations: range, at_once: int) -> bool:
    """Measures one load; whether every request was answered."""
    if not trial.is_whole(replicas):
        trial.redeploy(replicas, exact=False)
    before = trial.core_seconds()
    load = trial.load(conversations, at_once)
    used = [after - start for after, start in zip(trial.core_seconds(), before, strict=True)]
    per_thousand = [1000 * seconds / sum(turn.tokens for turn in load.turns) for seconds in used]
    costs = f"core-seconds for 1,000 tokens: {per_thousand[0]:.1f} in replicas, {per_thousand[1]:.1f} in all"
    print(f"{replicas} replica(s), {at_once} at once: {load.summary()}; {costs}", flush=True)
    return not any(turn.error for turn in load.turns)


def correctness(trial: Trial, many: range) -> Iterator[bool]:
    """Compares each answer with that of the conversation alone, while a replica is killed, and more."""
    trial.redeploy(2, exact=True)
    alone = trial.load(many, 1)
    yield report("exact, two replicas", trial.load(many, len(many)), alone)
    disturbances = {
        "exact, a replica is killed": trial.kill_replica,
        "exact, a node is removed": trial.remove_node,
        "exact, a rolling update": trial.update,
    }
    for title, disturb in disturbances.items():
        load, seconds = trial.disturbed(many, disturb)
        yield report(title, load, alone, f"whole again after {seconds:.1f} s")
        yield seconds < SECONDS_TO_RECOVER


def autoscaling(trial: Trial, many: range) -> Iterator[bool]:
    """Load on one replica that may become two; whether the second one came, and went when the load had ended."""
    trial.redeploy(1, exact=False, max_replicas=2, upscale_seconds=2, downscale_seconds=10)
    counts, started = [1], time.monotonic()

    def watch(until: Callable[[], bool]) -> None:
        while not until() and time.monotonic() - started < 180:
            if (count := trial.running(ENGINE)) not in (0, counts[-1]):
                counts.append(count)
                print(f"autoscaling: {count} replica(s) after {time.monotonic() - started:.0f} s", flush=True)
            time.sleep(0.2)

    with ThreadPoolExecutor() as threads:
        work = threads.submit(trial.load, many, len(many))
        watch(work.done)
        load = work.result()
    print(f"autoscaling: {load.summary()}", flush=True)
    yield not any(turn.error for turn in load.turns)
    watch(lambda: counts[-1] == 1)
    yield counts == [1, 2, 1]


TRIALS = {"throughput": throughput, "correctness": correctness, "autoscaling": autoscaling}


if __name__ == "__main__":
    sys.exit(main())
