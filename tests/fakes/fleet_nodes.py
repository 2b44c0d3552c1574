"""The machines of a simulated fleet: what each is, what runs on it, what is wrong with it.

The first eight of every fleet carry its troubles, so that each panel and alert has its case.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tests.fakes.fleet_laws import Wave

Kind = Literal["pc", "cpu", "server", "mac", "vllm"]
Trouble = Literal["hot", "disk", "xid", "exclusive", "split", "cordoned", "slow", "down"]
"""hot: throttled by heat; disk: fills up; xid: the driver reported errors; exclusive: somebody
holds the whole node; split: a model is partly on the CPU; cordoned: by the operator; slow: half
the speed; down: its LLM server does not answer."""

PATTERN: Sequence[Kind] = ("pc", "cpu", "server", "mac", "pc", "pc", "mac", "cpu")
TROUBLES: Sequence[Trouble] = (
    "hot",
    "disk",
    "xid",
    "exclusive",
    "split",
    "cordoned",
    "slow",
    "down",
)


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    family: str
    parameters: str
    size: float
    """Bytes."""
    weights: str
    """Some digits, of whatever they are the digest."""
    context: int = 8192
    context_max: int = 131_072


MODELS = (
    Model("gemma3:4b", "gemma3", "4.3B", 3.3e9, "aeda25e63ebd"),
    Model("llama3.1:8b", "llama", "8.0B", 4.9e9, "667b0c1932bc"),
    Model("qwen3:14b", "qwen3", "14.8B", 9.3e9, "a8cc1361f314", context_max=40_960),
    Model("mistral-small:24b", "llama", "23.6B", 14.3e9, "8039dd90c113", context_max=32_768),
    Model("nomic-embed-text", "nomic-bert", "137M", 0.3e9, "970aa74c0a90", 2048, 2048),
)
SMALL, MIDDLE, LARGE, LARGEST, EMBED = MODELS


@dataclass(frozen=True, slots=True)
class Machine:
    """What all machines of a kind share."""

    backend: str
    gpus: int
    gpu_name: str
    gpu_memory: float
    memory: float
    cpus: int
    slots: int
    speed: float
    """Tokens per second of one answer."""
    watts: tuple[float, float]
    """Of a GPU: idle, and at full load."""
    installed: Sequence[Model]
    loaded: Sequence[Model]


MACHINES: dict[Kind, Machine] = {
    "cpu": Machine("llamacpp", 0, "", 0, 34e9, 16, 2, 11, (0, 0), (SMALL,), (SMALL,)),
    "pc": Machine(
        "ollama",
        1,
        "NVIDIA GeForce RTX 4090",
        25.7e9,
        68e9,
        24,
        4,
        95,
        (25, 380),
        MODELS,
        (MIDDLE, LARGE),
    ),
    "server": Machine(
        "ollama",
        4,
        "NVIDIA A100-SXM4-80GB",
        85.9e9,
        540e9,
        128,
        16,
        120,
        (60, 390),
        MODELS,
        (LARGE, LARGEST, EMBED),
    ),
    "mac": Machine("ollama", 1, "Apple M4 Pro", 51e9, 68e9, 14, 2, 38, (4, 46), MODELS, (MIDDLE,)),
    "vllm": Machine(
        "vllm",
        2,
        "NVIDIA H100 80GB HBM3",
        85.5e9,
        1080e9,
        96,
        64,
        85,
        (70, 680),
        (LARGE,),
        (LARGE,),
    ),
}


@dataclass(frozen=True, slots=True)
class Box:
    """One node of the fleet."""

    name: str
    kind: Kind
    trouble: Trouble | None
    busy: Wave
    """0 to 1."""
    boot: float
    """Seconds before the start at which it was switched on."""

    @property
    def machine(self) -> Machine:
        return MACHINES[self.kind]

    @property
    def up(self) -> bool:
        return self.trouble != "down"

    @property
    def speed(self) -> float:
        return self.machine.speed * (0.45 if self.trouble == "slow" else 1.0)

    @property
    def running(self) -> Wave:
        """Requests at once, all models together."""
        return self.busy.scaled(self.machine.slots if self.up else 0.0)

    @property
    def tokens(self) -> Wave:
        """Written per second."""
        return self.running.scaled(self.speed * 0.6)

    def serves(self, model: str) -> float:
        """Which part of its work is for `model`: the loaded ones share it."""
        loaded = [one.name for one in self.machine.loaded]
        return 1 / len(loaded) if model in loaded else 0.0


def fleet(nodes: int, seed: int) -> Sequence[Box]:
    """The same for the same arguments; the last one runs vLLM."""
    chance = random.Random(seed)
    digits = max(2, len(str(nodes)))
    return [_box(at, nodes, digits, chance) for at in range(nodes)]


def _box(at: int, nodes: int, digits: int, chance: random.Random) -> Box:
    kind: Kind = "vllm" if at == nodes - 1 else PATTERN[at % len(PATTERN)]
    mean = chance.uniform(0.35, 0.6)
    busy = Wave(
        mean, mean * chance.uniform(0.3, 0.6), chance.uniform(60, 240), chance.uniform(0, 6)
    )
    trouble = TROUBLES[at] if at < len(TROUBLES) and kind != "vllm" else None
    return Box(f"{kind}-{at + 1:0{digits}}", kind, trouble, busy, chance.uniform(1e5, 4e6))
