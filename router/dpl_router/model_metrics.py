"""What is told per model, under the name that the client used."""

from collections.abc import Mapping
from typing import Literal, get_args

from dpl_router.scheduling.types import Reason, Rejection
from dpl_router.tallies import ByWord, Observer, Page

Route = Literal["chat", "generate", "completions", "embeddings", "passthrough", "batch"]
Ended = Literal["ok", "client_error", "upstream_error", "timeout", "cancelled", "rejected"]
RetryReason = Literal["connect", "status", "timeout", "lock_conflict", "stream_cut"]
Finish = Literal["stop", "length", "tool_calls", "content_filter", "other"]

# The bounds of the service objectives (2 s, 0.2 s) must be bounds of a bucket.
FIRST_TOKEN = (0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, 120)
PER_TOKEN = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)
WHOLE_REQUEST = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600, 1800)
TOKENS = (1, 8, 32, 128, 512, 2048, 8192, 32768, 131072)

LONGEST_EXEMPLAR = 128 - len("request_id")  # OpenMetrics allows 128 characters, name and value


class ModelFamilies:
    def __init__(self, page: Page) -> None:
        self.requests = page.counts(
            "dpl_router_requests_total", "Finished requests.", ["model", "route", "outcome"]
        )
        self.in_flight = page.levels(
            "dpl_router_requests_in_flight", "Open requests.", ["model", "route"]
        )
        self.duration = page.buckets(
            "dpl_router_request_duration_seconds", "Arrival to last byte.", ["model"], WHOLE_REQUEST
        )
        self.first_token = page.buckets(
            "dpl_router_time_to_first_token_seconds",
            "Arrival to first token sent.",
            ["model"],
            FIRST_TOKEN,
        )
        self.per_token = page.buckets(
            "dpl_router_time_per_output_token_seconds",
            "First to last token over the tokens after the first, once per request.",
            ["model"],
            PER_TOKEN,
        )
        self.gaps = page.buckets(
            "dpl_router_inter_token_latency_seconds",
            "Between two arrivals of an answer's words.",
            ["model"],
            PER_TOKEN,
        )
        self.prompts = page.buckets(
            "dpl_router_request_input_tokens", "Tokens of a prompt.", ["model"], TOKENS
        )
        self.answers = page.buckets(
            "dpl_router_request_output_tokens", "Tokens of an answer.", ["model"], TOKENS
        )
        self.queue_wait = page.buckets(
            "dpl_router_queue_wait_seconds", "Wait for a node.", ["model"], FIRST_TOKEN
        )
        self.tokens = page.counts(
            "dpl_router_tokens_total", "Tokens as the server reported.", ["model", "direction"]
        )
        self.finishes = page.counts(
            "dpl_router_finish_reasons_total", "Why whole answers ended.", ["model", "reason"]
        )
        self.decisions = page.counts(
            "dpl_router_scheduling_decisions_total", "Why that node.", ["model", "reason"]
        )
        self.rejections = page.counts(
            "dpl_router_scheduling_rejections_total", "Why no node.", ["model", "reason"]
        )
        self.retries = page.counts(
            "dpl_router_retries_total", "Retries before the first byte.", ["model", "reason"]
        )
        self.queue_depth = page.levels("dpl_router_queue_depth", "Waiting requests.", ["model"])
        self.queue_limit = page.levels("dpl_router_queue_limit", "Places in the queue.", ["model"])


class ModelMetrics:
    """One (model, route): what a request counts. Times are seconds."""

    def __init__(self, of: ModelFamilies, model: str, route: Route, histograms: str) -> None:
        self.ended = ByWord[Ended](of.requests, model, route).from_the_start(get_args(Ended))
        self.in_flight = of.in_flight.labels(model, route)
        self.durations: Mapping[Ended, Observer] = dict.fromkeys(
            get_args(Ended), of.duration.labels(histograms)
        )
        self.time_to_first_token: Observer = of.first_token.labels(histograms)
        self.time_per_output_token: Observer = of.per_token.labels(histograms)
        self.inter_token_latency: Observer = of.gaps.labels(histograms)
        self.prompt_sizes: Observer = of.prompts.labels(histograms)
        self.answer_sizes: Observer = of.answers.labels(histograms)
        self.queue_wait = of.queue_wait.labels(histograms)
        self.input_tokens = of.tokens.labels(model, "input")
        self.output_tokens = of.tokens.labels(model, "output")
        self.cached_tokens = of.tokens.labels(model, "cached")
        self.finishes = ByWord[Finish](of.finishes, model)
        self.decisions = ByWord[Reason](of.decisions, model)
        self.rejections = ByWord[Rejection](of.rejections, model)
        self.retries = ByWord[RetryReason](of.retries, model)

    def first_token(self, seconds: float, request_id: str) -> bool:
        """Whether `request_id` became an exemplar; it is none where it is longer than OpenMetrics
        allows."""
        if len(request_id) <= LONGEST_EXEMPLAR:
            return self.time_to_first_token.observe_request(seconds, request_id)
        self.time_to_first_token.observe(seconds)
        return False
