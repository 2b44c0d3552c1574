"""The router's page for a simulated fleet: the lines are the real router's, the values are ours."""

from collections.abc import Callable, Mapping, Sequence
from typing import get_args

from prometheus_client import CollectorRegistry

from dpl_router.metrics import LoadCause, RouterMetrics
from dpl_router.model_metrics import Finish, RetryReason
from dpl_router.scheduling.types import Reason, Rejection
from tests.fakes.fleet_laws import Labels, Law, LawOf, Page, Wave, fixed, of_histogram
from tests.fakes.fleet_nodes import MODELS, Box

TOKENS_OF_AN_ANSWER = 220.0
MEDIANS = {
    "dpl_router_request_duration_seconds": 5.0,
    "dpl_router_time_to_first_token_seconds": 0.4,
    "dpl_router_time_per_output_token_seconds": 0.024,
    "dpl_router_inter_token_latency_seconds": 0.02,
    "dpl_router_queue_wait_seconds": 0.06,
    "dpl_router_request_input_tokens": 600.0,
    "dpl_router_request_output_tokens": 180.0,
    "dpl_router_lock_acquire_seconds": 0.012,
    "dpl_router_scheduling_duration_seconds": 0.0002,
    "dpl_router_event_loop_lag_seconds": 0.0008,
    "dpl_router_prometheus_query_duration_seconds": 0.03,
}
OUTCOMES = {
    "ok": 0.9656,
    "client_error": 0.012,
    "upstream_error": 0.0008,
    "timeout": 0.0004,
    "cancelled": 0.02,
    "rejected": 0.0012,
}
"""Shares; what is not served stays within the objective of 99.5 %."""
DIRECTIONS = {"input": 3.5, "output": 1.0, "cached": 1.2}
"""To a token of output."""
WASTED = {"cancelled": 0.6, "retried": 0.02}
WORDS = {
    "cheapest": 0.6,
    "warm": 0.3,
    "stop": 0.93,
    "length": 0.05,
    "tool_calls": 0.02,
    "affinity": 0.05,
    "connect": 0.004,
    "status": 0.003,
    "floor": 0.0,
}
"""What part of the requests has this word; any other: one in a thousand."""
SELDOM = 0.001
OPENMETRICS = "application/openmetrics-text"


def pages(boxes: Sequence[Box], began: float) -> Mapping[str, Page]:
    """By content type: of text, and of OpenMetrics with exemplars."""
    metrics = RouterMetrics(CollectorRegistry())
    see_everything(metrics, boxes)
    law_of = laws(boxes, began)
    made = {}
    for accept in ("text/plain", OPENMETRICS):
        content_type, page = metrics.render(accept)
        tail_of = exemplars(began) if accept == OPENMETRICS else lambda *_: None
        made[content_type] = Page(page.decode(), law_of, tail_of)
    return made


def see_everything(metrics: RouterMetrics, boxes: Sequence[Box]) -> None:
    """As if the router had been asked for each model and had used each node."""
    names = [model.name for model in MODELS]
    metrics.know_models(names)
    metrics.show_identities([])
    for name in (*names, "no such model"):
        handle = metrics.model(name)
        for reason in Reason:
            handle.decisions[reason]
        for rejection in Rejection:
            handle.rejections[rejection]
        for retry in get_args(RetryReason):
            handle.retries[retry]
        for finish in get_args(Finish):
            handle.finishes[finish]
    metrics.model(MODELS[-1].name, "embeddings")
    for box in boxes:
        for cause in get_args(LoadCause):
            metrics.node(box.name).reloads[cause]
    metrics.view.query_seconds.labels("facts")
    metrics.view.query_seconds.labels("view")
    pairs = {(box.name, model.name): 0 for box in boxes for model in box.machine.installed}
    metrics.show_book(pairs, {box.name: 0 for box in boxes}, dict.fromkeys(names, (0, 64)))


def laws(boxes: Sequence[Box], began: float) -> LawOf:
    by_name = {box.name: box for box in boxes}
    rates = {model.name: _answers(boxes, model.name) for model in MODELS}
    alone = _alone(boxes, began)

    def law_of(name: str, labels: Labels) -> Law | None:
        if name in alone:
            return alone[name]
        answers = rates.get(labels.get("model", ""), Wave(0.02, 0.01))
        for family, median in MEDIANS.items():
            if name.startswith(family + "_"):
                return of_histogram(name, labels, answers, median)
        if "node" in labels:
            return _of_node(name, labels, by_name[labels["node"]], answers)
        return _of_fleet(name, labels, answers)

    return law_of


def _answers(boxes: Sequence[Box], model: str) -> Wave:
    """Per second, by all nodes."""
    mean = sum(box.tokens.mean * box.serves(model) for box in boxes) / TOKENS_OF_AN_ANSWER
    return Wave(max(mean, 0.02), max(mean, 0.02) * 0.3, 150, len(model))


def _alone(boxes: Sequence[Box], began: float) -> Mapping[str, Law]:
    """What has no labels, or the same value whatever they are."""
    leases = sum(box.running.mean for box in boxes)
    return {
        "dpl_router_load_snapshot_timestamp_seconds": lambda t: began + t - 1.5,
        "dpl_router_load_snapshot_nodes": fixed(float(len(boxes))),
        "dpl_router_watchdog_last_received_timestamp_seconds": lambda t: began + t - t % 15,
        "dpl_router_watchdog_silent": fixed(0.0),
        "dpl_router_config_last_reload_successful": fixed(1.0),
        "dpl_router_lock_leases_in_use": lambda t: round(Wave(leases, leases * 0.2).now(t)),
        "dpl_router_build_info": fixed(1.0),
        "dpl_router_queue_limit": fixed(64.0),
        "dpl_router_queue_depth": lambda t: round(max(0.0, Wave(0.5, 2.0).now(t))),
        "dpl_model_identity_mismatch": fixed(0.0),
    }


def _of_fleet(name: str, labels: Labels, answers: Wave) -> Law | None:
    if name == "dpl_router_scheduling_mode":
        return fixed(float(labels["dpl_router_scheduling_mode"] == "promql"))
    if name == "dpl_router_requests_in_flight":
        return lambda t: round(answers.now(t) * 6)
    if name == "dpl_router_requests_total":
        return answers.scaled(OUTCOMES[labels["outcome"]]).total
    if name.startswith("process_"):
        return _of_process(name)
    if name == "dpl_router_wasted_tokens_total":
        return answers.scaled(TOKENS_OF_AN_ANSWER * WASTED[labels["reason"]]).total
    if name == "dpl_router_tokens_total":
        return answers.scaled(TOKENS_OF_AN_ANSWER * DIRECTIONS[labels["direction"]]).total
    if name.endswith("_total"):
        word = labels.get("reason") or labels.get("outcome") or ""
        return answers.scaled(WORDS.get(word, 0.3 if word in GOOD else SELDOM)).total
    return None


GOOD = frozenset({"granted", "renewed", "ok"})


def _of_process(name: str) -> Law | None:
    """None for what does not move."""
    if name == "process_cpu_seconds_total":
        return Wave(0.2, 0.1).total
    if name == "process_resident_memory_bytes":
        return Wave(9e7, 4e6, 600).now
    return None


def _of_node(name: str, labels: Labels, box: Box, answers: Wave) -> Law | None:
    part = box.serves(labels["model"]) if "model" in labels else 1.0
    tokens = box.tokens.scaled(part)
    own = box.tokens.scaled(1 / TOKENS_OF_AN_ANSWER)
    made: Mapping[str, Callable[[], Law]] = {
        "dpl_router_upstream_in_flight": lambda: lambda t: round(box.running.now(t) * part),
        "dpl_router_upstream_output_tokens_total": lambda: tokens.total,
        "dpl_router_upstream_decode_seconds_total": lambda: tokens.scaled(1 / box.speed).total,
        "dpl_router_upstream_requests_total": lambda: own.scaled(OUTCOMES[labels["outcome"]]).total,
        "dpl_router_upstream_ttft_seconds_count": lambda: own.total,
        "dpl_router_upstream_ttft_seconds_sum": lambda: own.scaled(40 / box.speed).total,
        "dpl_router_node_cordoned": lambda: fixed(float(box.trouble == "cordoned")),
        "dpl_router_circuit_state": lambda: fixed(0.0 if box.up else 2.0),
    }
    if name in made:
        return made[name]()
    return own.scaled(SELDOM).total if name.endswith("_total") else None


def exemplars(began: float) -> Callable[[str, Labels], Callable[[float], str] | None]:
    """A new request for each bucket of the first token up to 10 s, every 10 s."""

    def tail_of(name: str, labels: Labels) -> Callable[[float], str] | None:
        if name != "dpl_router_time_to_first_token_seconds_bucket" or float(labels["le"]) > 10:
            return None
        bound, known = float(labels["le"]), f"{labels['model']}-{labels['le']}"

        def tail(t: float) -> str:
            at = t - t % 10
            return f' # {{request_id="req-{known}-{int(at)}"}} {0.9 * bound:g} {began + at:.3f}'

        return tail

    return tail_of
