"""What is told per model once more, under OpenTelemetry's names.

Names, labels and bounds: the GenAI semantic conventions (docs/gen-ai/gen-ai-metrics.md of
open-telemetry/semantic-conventions-genai, in development, read in November 2026), as OpenTelemetry
writes them for Prometheus: dots are underscores, the unit s is a suffix, {token} is none.
"""

from collections.abc import Mapping

from dpl_router.model_metrics import Ended, ModelMetrics, Route
from dpl_router.tallies import Both, Buckets, Family, Observer, Page

PROVIDER = "dpl"
"""The conventions' words for providers are companies, each with its own format; none is true of
a server at home. Clients see one provider, whichever node and program answers them."""
OPERATIONS: Mapping[Route, str] = {
    "chat": "chat",
    "generate": "text_completion",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
"""A route that is not here is of several operations, or unread, and keeps its own word."""

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST_TOKEN = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
TOKENS = tuple(4**power for power in range(14))

OF_ALL = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


class OtelNames:
    """The families. What is observed is ours to the last digit, also where the conventions want
    successful answers only: one that broke off has a first token and a speed as well."""

    def __init__(self, page: Page) -> None:
        self._duration = page.buckets(
            "gen_ai_server_request_duration_seconds",
            "Arrival to last byte; error_type where it did not end well.",
            (*OF_ALL, "error_type"),
            SECONDS,
        )
        self._first_token = page.buckets(
            "gen_ai_server_time_to_first_token_seconds",
            "Arrival to first token sent, of streams.",
            OF_ALL,
            FIRST_TOKEN,
        )
        self._per_token = page.buckets(
            "gen_ai_server_time_per_output_token_seconds",
            "First to last token over the tokens after the first, once per request.",
            OF_ALL,
            PER_TOKEN,
        )
        self._per_chunk = page.buckets(
            "gen_ai_client_operation_time_per_output_chunk_seconds",
            "Between two arrivals of a stream's words.",
            OF_ALL,
            SECONDS,
        )
        self._tokens = page.buckets(
            "gen_ai_client_token_usage",
            "Tokens of a prompt and of an answer, as the server reported.",
            (*OF_ALL, "gen_ai_token_type"),
            TOKENS,
        )

    def beside(self, own: ModelMetrics, model: str, route: Route) -> None:
        """Once for each `own`: what it observes is observed here too, as of `model`."""
        of = (OPERATIONS.get(route, route), PROVIDER, model)
        own.durations = Durations(own.durations, self._duration, *of)
        own.time_to_first_token = Both(own.time_to_first_token, self._first_token.labels(*of))
        own.time_per_output_token = Both(own.time_per_output_token, self._per_token.labels(*of))
        own.inter_token_latency = Both(own.inter_token_latency, self._per_chunk.labels(*of))
        own.prompt_sizes = Both(own.prompt_sizes, self._tokens.labels(*of, "input"))
        own.answer_sizes = Both(own.answer_sizes, self._tokens.labels(*of, "output"))


class Durations(dict[Ended, Observer]):
    """By how requests end; an error has series from its first time on."""

    def __init__(self, own: Mapping[Ended, Observer], family: Family[Buckets], *of: str) -> None:
        super().__init__()
        self._own, self._family, self._of = own, family, of
        self["ok"]  # makes it

    def __missing__(self, ended: Ended) -> Observer:
        error_type = "" if ended == "ok" else ended  # to Prometheus the label is then not there
        both = self[ended] = Both(self._own[ended], self._family.labels(*self._of, error_type))
        return both
