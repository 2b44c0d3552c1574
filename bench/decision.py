"""What one decision costs, in microseconds: `python -m bench.decision`.

By the number of nodes, of which three in four serve the model: the decision alone (snapshot and
decide), and all that the core has to do for a request that ends well, the making of what it is
told included: at an engine that tells its timings, and at one that does not. Last, what it costs
to count such a request for the page of metrics.
"""

from collections.abc import Callable
from time import perf_counter

from prometheus_client import CollectorRegistry

from dpl_router.metrics import RouterMetrics
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
    Reason,
)

SIZES = (1, 2, 4, 16, 100, 1000)
ROUNDS = 5
KINDS = ("gpu", "mac", "cpu", "gpu")


def plain() -> Outcome:
    return Outcome(OutcomeKind.DONE, 120)


def timed() -> Outcome:
    return Outcome(
        OutcomeKind.DONE,
        120,
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


def requesting(core: Core, demands: list[Demand], outcome: Callable[[], Outcome]) -> float:
    start = perf_counter()
    for known in demands:
        demand = Demand(known.id, "chat", prompt_tokens=300, arrived=0.5, deadline=60.0, key="me")
        decision = core.decide(demand, core.snapshot(demand, 1.0), 1.0)
        core.on_dispatch(demand.id, demand, decision.node or "", 1.0)
        core.on_token(demand.id, 1, 1.0)
        core.on_finish(demand.id, outcome(), 1.0)
    return perf_counter() - start


def counting(metrics: RouterMetrics, count: int) -> float:
    """As dispatch counts a plain request that went well."""
    start = perf_counter()
    for _ in range(count):
        model, node = metrics.model("chat"), metrics.node("node-0")
        model.in_flight.inc()
        metrics.scheduling_seconds.observe(0.00002)
        model.decisions[Reason.CHEAPEST].inc()
        model.first_token(0.2, "9a3f0c6d1e2b4f58")
        model.queue_wait.observe(0.0)
        node.time_to_first_token.observe(0.2)
        node.ended["ok"].inc()
        model.in_flight.dec()
        model.ended["ok"].inc()
        model.durations["ok"].observe(4.2)
        model.time_per_output_token.observe(0.03)
        pair = metrics.node_model("node-0", "chat")
        pair.output_tokens.inc(120)
        pair.decode_seconds.inc(4.0)
        model.input_tokens.inc(300)
        model.output_tokens.inc(120)
        model.cached_tokens.inc(0)
    return perf_counter() - start


def main() -> None:
    print("nodes  decision µs  request µs  with timings µs  facts of all µs  best of", ROUNDS)
    for size in SIZES:
        facts = fleet(size)
        core = make_core(Config(tuple(NodeConfig(node.node) for node in facts)))
        core.on_facts(facts, 0.0)
        count = max(100, 20_000 // size)
        demands = [Demand(f"r{index}", "chat", 300, 0.5) for index in range(count)]
        for demand in demands[:3]:
            core.on_dispatch(f"held {demand.id}", demand, f"node-{size - 1}", 0.5)
        alone = min(deciding(core, demands) for _ in range(ROUNDS)) / count
        whole = min(requesting(core, demands, plain) for _ in range(ROUNDS)) / count
        learned = min(requesting(core, demands, timed) for _ in range(ROUNDS)) / count
        start = perf_counter()
        core.on_facts(facts, 1.0)
        told = perf_counter() - start
        print(
            f"{size:5}  {alone * 1e6:11.1f}  {whole * 1e6:10.1f}  {learned * 1e6:15.1f}"
            f"  {told * 1e6:15.0f}"
        )
    metrics = RouterMetrics(CollectorRegistry())
    metrics.know_models(["chat"])
    counted = min(counting(metrics, 20_000) for _ in range(ROUNDS)) / 20_000
    print(f"counting a request for the page of metrics: {counted * 1e6:.1f} µs")


if __name__ == "__main__":
    main()
