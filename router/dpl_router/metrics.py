"""Every metric the router emits, on a registry passed in.

Names, labels and buckets: the observability catalogue, section 1.3. The hot path asks for a handle
(`model`, `node`, `node_model`: one dict look-up) and counts on tallies that are resolved already,
in the loop's thread alone (see `tallies`).
What clients write is no label: see `RouterMetrics.model`.
"""

import platform
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Enum, Info, ProcessCollector
from prometheus_client.exposition import choose_encoder

from dpl_router import __version__
from dpl_router.action_metrics import ActionMetrics
from dpl_router.model_metrics import Ended, ModelFamilies, ModelMetrics, Route
from dpl_router.otel_names import OtelNames
from dpl_router.tallies import ByWord, Count, Family, Level, Page, Sum

Phase = Literal["queue", "prefill", "decode"]
LeaseAnswer = Literal["granted", "conflict", "error"]
RenewalAnswer = Literal["renewed", "lost", "error"]
PollFailure = Literal["timeout", "connect", "status", "empty"]
ProxyOutcome = Literal["ok", "client_error", "upstream_error", "timeout"]
Mode = Literal["promql", "direct", "blind"]
Waste = Literal["cancelled", "retried"]
"""Why nobody read what a node had written: the client left; another node was asked instead."""
LoadCause = Literal["cold", "context", "evicted", "expired", "lost"]
"""Why a model was loaded for a request: it never was there; with another context; another model
drove it out; nobody used it for long; it was there at the last look."""

TEXT = "text/plain"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

OTHER = "other"
NAMED_MODELS = 80
MODELS_WITH_HISTOGRAMS = 10

DECISION = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05)
LATE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
CONTROL_CALL = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


def form_of(accept: str) -> str:
    """TEXT or OPENMETRICS: what a page is that a header `Accept` asks for.

    Text where no sense can be made of it: the version of a stranger may be anything.
    """
    try:
        _, content_type = choose_encoder(accept)
    except (TypeError, ValueError):
        return TEXT
    return OPENMETRICS if content_type.startswith("application/openmetrics-text") else TEXT


class NodeFamilies:
    """What is told per node. Never a histogram: a page of 18 series a node renders too slowly."""

    def __init__(self, page: Page) -> None:
        self.requests = page.counts(
            "dpl_router_upstream_requests_total", "Attempts at a node.", ["node", "outcome"]
        )
        self.first_token = page.sums(
            "dpl_router_upstream_ttft_seconds", "First token by node.", ["node"]
        )
        self.last_event = page.levels(
            "dpl_router_upstream_last_event_timestamp_seconds",
            "Last word of any answer of a node, by the router's clock; 0 before the first.",
            ["node"],
        )
        self.truncated = page.counts(
            "dpl_router_streams_truncated_total", "Streams without their last event.", ["node"]
        )
        self.cordoned = page.levels("dpl_router_node_cordoned", "1 while cordoned.", ["node"])
        self.circuit = page.levels(
            "dpl_router_circuit_state",
            "0 closed, 1 half, 2 open, also while the router's own check fails.",
            ["node"],
        )
        self.in_flight = page.levels(
            "dpl_router_upstream_in_flight", "Open requests at a node.", ["node", "model"]
        )
        self.output_tokens = page.counts(
            "dpl_router_upstream_output_tokens_total", "Tokens a node wrote.", ["node", "model"]
        )
        self.decode_seconds = page.counts(
            "dpl_router_upstream_decode_seconds_total",
            "Time a node took for its output tokens, summed over requests.",
            ["node", "model"],
        )
        self.prompt_truncated = page.counts(
            "dpl_router_prompt_truncated_total", "Prompts a node cut.", ["node", "model"]
        )

        self.reloads = page.counts(
            "dpl_router_model_reloads_total", "Models loaded for a request.", ["node", "cause"]
        )

    def of_a_node(self) -> tuple[Family[Sum] | Family[Count] | Family[Level], ...]:
        return self.first_token, self.last_event, self.truncated, self.cordoned, self.circuit

    def of_a_pair(self) -> tuple[Family[Count] | Family[Level], ...]:
        return self.in_flight, self.output_tokens, self.decode_seconds, self.prompt_truncated


class NodeMetrics:
    """One node; everything exists from the start."""

    def __init__(self, of: NodeFamilies, node: str) -> None:
        self.ended = ByWord[Ended](of.requests, node).from_the_start(get_args(Ended))
        self.time_to_first_token = of.first_token.labels(node)
        self.last_event = of.last_event.labels(node)
        self.streams_truncated = of.truncated.labels(node)
        self.reloads = ByWord[LoadCause](of.reloads, node)
        self.cordoned = of.cordoned.labels(node)
        self.circuit_state = of.circuit.labels(node)


class NodeModelMetrics:
    """One (node, model), under the node's own name of the model."""

    def __init__(self, of: NodeFamilies, node: str, model: str) -> None:
        self.in_flight = of.in_flight.labels(node, model)
        self.output_tokens = of.output_tokens.labels(node, model)
        self.decode_seconds = of.decode_seconds.labels(node, model)
        self.prompt_truncated = of.prompt_truncated.labels(node, model)


class LeaseMetrics:
    """The leases that the router holds on nodes."""

    def __init__(self, page: Page) -> None:
        self.in_use = page.level("dpl_router_lock_leases_in_use", "Leases held.")
        self.acquire_seconds = page.buckets(
            "dpl_router_lock_acquire_seconds", "Time to get a lease.", (), CONTROL_CALL
        ).labels()
        self.acquisitions = ByWord[LeaseAnswer](
            page.counts("dpl_router_lock_acquisitions_total", "Leases asked for.", ["outcome"])
        ).from_the_start(get_args(LeaseAnswer))
        self.renewals = ByWord[RenewalAnswer](
            page.counts("dpl_router_lock_renewals_total", "Leases kept alive.", ["outcome"])
        ).from_the_start(get_args(RenewalAnswer))
        self.lost = page.count("dpl_router_lock_leases_lost_total", "Leases that ended under us.")


class ViewMetrics:
    """What the router knows of the fleet, and by which way."""

    def __init__(self, page: Page) -> None:
        self.snapshot_timestamp = page.level(
            "dpl_router_load_snapshot_timestamp_seconds",
            "Newest sample time in the view in use; 0 before the first view.",
        )
        self.snapshot_nodes = page.level(
            "dpl_router_load_snapshot_nodes", "Nodes in the view in use."
        )
        self._mode = Enum(
            "dpl_router_scheduling_mode",
            "1 for the way in which the fleet is known now.",
            states=get_args(Mode),
            registry=page.registry,
        )
        self.query_seconds = page.buckets(
            "dpl_router_prometheus_query_duration_seconds",
            "Cost of queries.",
            ["query"],
            CONTROL_CALL,
        )
        self.query_failures = ByWord[PollFailure](
            page.counts("dpl_router_prometheus_query_failures_total", "Failed polls.", ["reason"])
        ).from_the_start(get_args(PollFailure))
        self.watchdog_timestamp = page.level(
            "dpl_router_watchdog_last_received_timestamp_seconds",
            "Last dead-man call; 0 before the first.",
        )
        self.watchdog_silent = page.level(
            "dpl_router_watchdog_silent",
            "1 while the dead-man call is overdue: alerts may not reach anybody.",
        )
        self.mode("blind")  # nothing is known yet, and nobody may think otherwise

    def mode(self, now: Mode) -> None:
        self._mode.state(now)


class RouterMetrics:
    """The whole page. `know_models` first: until then every model is `other`."""

    def __init__(self, registry: CollectorRegistry, otel_names: OtelNames | None = None) -> None:
        page = Page(registry)

        self._otel_names = otel_names
        self._registry = registry
        self._known: dict[str, None] = {}
        self._with_histograms: set[str] = set()
        self._model_families = ModelFamilies(page)
        self._models: dict[tuple[str, Route], ModelMetrics] = {}
        self._queues: dict[str, tuple[int, int]] = {}
        self._node_families = NodeFamilies(page)
        self._nodes: dict[str, NodeMetrics] = {}
        self._pairs: dict[tuple[str, str], NodeModelMetrics] = {}
        self.leases = LeaseMetrics(page)
        self.view = ViewMetrics(page)
        self.alerting = ActionMetrics(page)
        self.scheduling_seconds = page.buckets(
            "dpl_router_scheduling_duration_seconds", "Cost of one decision.", (), DECISION
        ).labels()
        self.client_left = ByWord[Phase](
            page.counts("dpl_router_client_disconnects_total", "The client left.", ["phase"])
        ).from_the_start(get_args(Phase))
        self.wasted_tokens = ByWord[Waste](
            page.counts(
                "dpl_router_wasted_tokens_total", "Tokens written and read by nobody.", ["reason"]
            )
        ).from_the_start(get_args(Waste))
        self.loop_late = page.buckets(
            "dpl_router_event_loop_lag_seconds", "How late the loop woke.", (), LATE
        ).labels()
        self.promql_proxy = ByWord[ProxyOutcome](
            page.counts("dpl_router_promql_proxy_requests_total", "Proxied queries.", ["outcome"])
        ).from_the_start(get_args(ProxyOutcome))
        self.config_reloaded = page.level(
            "dpl_router_config_last_reload_successful",
            "0 while nodes.yaml, or a file that it names, is refused and the old one kept.",
        )
        self.config_reloaded.set(1)
        ProcessCollector(registry=registry)  # Linux; elsewhere it tells nothing
        Info("dpl_router_build", "Which router this is.", registry=registry).info(
            {"version": __version__, "python": platform.python_version()}
        )

    def know_models(self, names: Iterable[str]) -> None:
        """Names of nodes.yaml or of an inventory; the first 80 ever told keep their name."""
        for name in sorted(names):  # of a set, chance would choose anew at each start
            if len(self._known) < NAMED_MODELS:
                self._known[name] = None

    def show_identities(self, odd: Collection[str]) -> None:
        """`odd`: models whose name means other weights on some node."""
        self.alerting.identities(self._known.keys(), odd)

    def model(self, name: str, route: Route = "chat") -> ModelMetrics:
        """A client can write any name, so it gets a series of its own only where it is known.

        Histograms are kept for the ten known models that were used first.
        """
        shown = name if name in self._known else OTHER
        handle = self._models.get((shown, route))
        if handle is None:
            histograms = self._histogram_name(shown)
            handle = ModelMetrics(self._model_families, shown, route, histograms)
            if self._otel_names is not None:
                self._otel_names.beside(handle, histograms, route)
            self._models[shown, route] = handle
        return handle

    def node(self, name: str) -> NodeMetrics:
        handle = self._nodes.get(name)
        if handle is None:
            handle = self._nodes[name] = NodeMetrics(self._node_families, name)
        return handle

    def node_model(self, node: str, model: str) -> NodeModelMetrics:
        """As `model`: a name that only a client knows is no label."""
        if model not in self._known:
            model = OTHER
        handle = self._pairs.get((node, model))
        if handle is None:
            handle = self._pairs[node, model] = NodeModelMetrics(self._node_families, node, model)
        return handle

    def forget_node(self, name: str) -> None:
        """After its last request: a handle taken later makes the series anew."""
        if self._nodes.pop(name, None) is not None:
            for outcome in get_args(Ended):
                self._node_families.requests.remove(name, outcome)
            for cause in get_args(LoadCause):
                self._node_families.reloads.remove(name, cause)
            for family in self._node_families.of_a_node():
                family.remove(name)
        for pair in [pair for pair in self._pairs if pair[0] == name]:
            del self._pairs[pair]
            for family in self._node_families.of_a_pair():
                family.remove(*pair)

    def show_book(
        self,
        in_flight: Mapping[tuple[str, str], int],
        circuits: Mapping[str, int],
        queues: Mapping[str, tuple[int, int]],
    ) -> None:
        """The gauges of the scheduler's own count, told before a page is rendered.

        `in_flight`: (node, model) -> open requests. `circuits`: node -> 0, 1, 2. `queues`: known
        model -> (waiting, places). A pair or a queue that is no longer named is 0.
        """
        for handle in self._pairs.values():
            handle.in_flight.set(0)
        for (node, model), count in in_flight.items():
            self.node_model(node, model).in_flight.inc(count)
        for node, state in circuits.items():
            self.node(node).circuit_state.set(state)
        self._queues.update(dict.fromkeys(self._queues, (0, 0)))
        self._queues.update({model: queues[model] for model in queues if model in self._known})
        for model, (depth, limit) in self._queues.items():
            self._model_families.queue_depth.labels(model).set(depth)
            self._model_families.queue_limit.labels(model).set(limit)

    def render(self, accept: str) -> tuple[str, bytes]:
        """(content type, page): OpenMetrics or text, by the header `Accept`.

        2,000 lines take some 40 ms: call it in a worker thread and keep the page for a second.
        """
        encode, content_type = choose_encoder(form_of(accept))
        return content_type, encode(self._registry)

    def _histogram_name(self, shown: str) -> str:
        if shown != OTHER and len(self._with_histograms) < MODELS_WITH_HISTOGRAMS:
            self._with_histograms.add(shown)
        return shown if shown in self._with_histograms else OTHER
