"""What one decision costs, in microseconds: `python -m bench.decision`.

A whole request as dispatch makes it (snapshot, decide, and the events of a request that ends),
and the decision alone, by the number of nodes; three in four nodes serve the model.
"""

from time import perf_counter

from dpl_router.scheduling.core import make_core
from dpl_router.scheduling.live import Core
from dpl_router.scheduling.types import (
    Config,
    Demand,
    ModelFacts,
    NodeConfig,
    NodeFacts,
    Outcome,
    OutcomeKind,
)

SIZES = (4, 16, 100, 1000)
ROUNDS = 5
KINDS = ("gpu", "mac", "cpu", "gpu")
DONE = Outcome(
    OutcomeKind.DONE,
    tokens=120,
    prompt_evaluated=300,
    prompt_seconds=0.3,
    eval_tokens=120,
    eval_seconds=4.0,
)


def fleet(size: int) -> list[NodeFacts]:
    return [
        NodeFacts(
            node=f"node-{index}",
            kind=KINDS[index % 4],
            up=True,
            eligible=True,
            sampled_at=0.0,
            slots=4,
            models={
                "other" if index % 4 == 2 else "chat": ModelFacts(loaded=True, running=0, waiting=0)
            },
        )
        for index in range(size)
    ]


def deciding(core: Core, demands: list[Demand]) -> float:
    start = perf_counter()
    for demand in demands:
        core.decide(demand, core.snapshot(demand, 1.0), 1.0)
    return perf_counter() - start


def requesting(core: Core, demands: list[Demand]) -> float:
    start = perf_counter()
    for demand in demands:
        decision = core.decide(demand, core.snapshot(demand, 1.0), 1.0)
        core.on_dispatch(demand.id, demand, decision.node or "", 1.0)
        core.on_token(demand.id, 1, 1.0)
        core.on_finish(demand.id, DONE, 1.0)
    return perf_counter() - start


def main() -> None:
    print("nodes  decision µs  request µs  facts of all µs  (best of", ROUNDS, "rounds)")
    for size in SIZES:
        facts = fleet(size)
        core = make_core(Config(tuple(NodeConfig(node.node) for node in facts)))
        core.on_facts(facts, 0.0)
        count = max(100, 20_000 // size)
        demands = [Demand(f"r{index}", "chat", 300, 0.5) for index in range(count)]
        for demand in demands[:3]:
            core.on_dispatch(f"held {demand.id}", demand, f"node-{size - 1}", 0.5)
        alone = min(deciding(core, demands) for _ in range(ROUNDS)) / count
        whole = min(requesting(core, demands) for _ in range(ROUNDS)) / count
        start = perf_counter()
        core.on_facts(facts, 1.0)
        told = perf_counter() - start
        print(f"{size:5}  {alone * 1e6:11.1f}  {whole * 1e6:10.1f}  {told * 1e6:15.0f}")


if __name__ == "__main__":
    main()
