"""The machines that a number of conversations a day needs, calculated from measured figures.

    python -m llm_chatbot.cluster.capacity

A calculation, not a measurement: what isn't measured is an input with a name.
"""

import math
from dataclasses import dataclass

DAY = 24 * 3600


@dataclass(frozen=True)
class Traffic:
    """The habits of people. Assumed.

    Attributes:
        turns: of a conversation.
        prompt_tokens: that are new in a turn; those of earlier turns are in the cache.
        answer_tokens: of a turn.
        peak: the busiest hour's share of the day's load, as a multiple of an average hour's.
        seconds_open: how long a conversation goes on, with its pauses; so long its blocks are worth keeping.
        use: the share of the cores that may be busy in the busiest hour, so that queues stay short.
    """

    turns: int = 3
    prompt_tokens: int = 200
    answer_tokens: int = 200
    peak: float = 3.0
    seconds_open: float = 300.0
    use: float = 0.6

    @property
    def tokens(self) -> int:
        """The context of a conversation at its end."""
        return self.turns * (self.prompt_tokens + self.answer_tokens)


@dataclass(frozen=True)
class EngineCosts:
    """The costs of a model.

    Attributes:
        name: of the model.
        decode: core-seconds for 1,000 tokens of answers, in batches of 16.
        prefill: core-seconds for 1,000 tokens of prompts.
        overhead: core-seconds for 1,000 tokens of answers outside of the replicas: Ray, the ingress, HTTP.
        bytes_per_token: of keys and values at u8.
        gigabytes: of a replica without them.
        origin: where the figures are from.
    """

    name: str
    decode: float
    prefill: float
    overhead: float
    bytes_per_token: int
    gigabytes: float
    origin: str

    def scaled(self, name: str, weights: float, bytes_per_token: int, gigabytes: float) -> "EngineCosts":
        """Another model, whose tokens cost more by the number of its weights: a matrix product costs by them."""
        origin = f"{self.name}'s figures × {weights:.0f}, the ratio of the weights"
        decode, prefill = self.decode * weights, self.prefill * weights
        return EngineCosts(name, decode, prefill, self.overhead, bytes_per_token, gigabytes, origin)


@dataclass(frozen=True)
class Machine:
    """A machine of the cluster. Its cores are taken to be as fast as those that were measured."""

    name: str
    cores: int
    gigabytes: float


def kv_bytes(layers: int, heads: int, size: int) -> int:
    """The bytes of a token's keys and values at u8: one for each number, and 8 for each scale with its zero point.

    Keys have one for each number of a head in a block of 32 tokens, values one for each token's head; this is what
    `llm_chatbot.engine.cache.paged_runner.block_bytes` says of the embedded model.
    """
    keys, values = size * 32 + size * 8, 32 * (size + 8)
    return layers * heads * (keys + values) // 32


MEASURED_ENGINE = EngineCosts("SmolLM2 135M", 5.2, 1.6, 1.9, kv_bytes(30, 3, 64), 0.5, "make load, benchmarks/speed.py")
ENGINES = (
    MEASURED_ENGINE,
    MEASURED_ENGINE.scaled("Qwen3 8B", 8190 / 135, kv_bytes(36, 8, 128), 6.0),
)
MACHINES = (Machine("Xeon, 64 cores, 512 GB", 64, 512.0), Machine("laptop, 8 cores, 16 GB", 8, 16.0))
PER_DAY = (1_000, 100_000, 10_000_000)
CORES_OF_A_REPLICA = 8


@dataclass(frozen=True)
class Need:
    """The needs of a load in its busiest hour.

    Attributes:
        cores: busy and idle.
        kv_gigabytes: for the blocks of all conversations that are open.
        replicas: of `CORES_OF_A_REPLICA` cores.
    """

    cores: float
    kv_gigabytes: float
    replicas: int

    def machines(self, machine: Machine, engine: EngineCosts) -> tuple[int, str]:
        """How many of a machine hold that, and what runs out first."""
        by_cores = math.ceil(self.cores / machine.cores)
        memory = self.kv_gigabytes + self.replicas * engine.gigabytes
        by_memory = math.ceil(memory / (0.8 * machine.gigabytes))
        return max(by_cores, by_memory), "cores" if by_cores >= by_memory else "memory"


def need(conversations: int, engine: EngineCosts, traffic: Traffic) -> Need:
    """The machines that a number of conversations a day needs."""
    per_second = conversations * traffic.peak / DAY
    cores = per_second * core_seconds(engine, traffic) / traffic.use
    tokens = per_second * traffic.seconds_open * traffic.tokens
    return Need(cores, tokens * engine.bytes_per_token / 1e9, math.ceil(cores / CORES_OF_A_REPLICA))


def core_seconds(engine: EngineCosts, traffic: Traffic) -> float:
    """Of one conversation."""
    answers, prompts = traffic.turns * traffic.answer_tokens, traffic.turns * traffic.prompt_tokens
    return (answers * (engine.decode + engine.overhead) + prompts * engine.prefill) / 1000


def table(traffic: Traffic) -> str:
    """The result in Markdown."""
    head = "| model | conversations a day | cores | replicas | GB for blocks |"
    lines = [head + "".join(f" {machine.name} |" for machine in MACHINES), "|---|" + "---:|" * (4 + len(MACHINES))]
    for engine in ENGINES:
        for conversations in PER_DAY:
            needed = need(conversations, engine, traffic)
            row = f"| {engine.name} | {conversations:,} | {needed.cores:,.1f} | {needed.replicas:,} "
            row += f"| {needed.kv_gigabytes:,.1f} |"
            for machine in MACHINES:
                count, bound = needed.machines(machine, engine)
                row += f" {count:,} ({bound}) |"
            lines.append(row)
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Traffic()))
    for engine in ENGINES:
        print(f"\n{engine.name}: {core_seconds(engine, Traffic()):.1f} core-seconds a conversation ({engine.origin})")
