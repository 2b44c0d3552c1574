"""What an answer that has ended adds to the page of metrics."""

from collections.abc import Mapping
from typing import get_args

from dpl_router.conversation import ChatRequest, Usage
from dpl_router.dispatch.attempt import Attempt
from dpl_router.metrics import RouterMetrics
from dpl_router.model_metrics import Finish, ModelMetrics
from dpl_router.scheduling.speed import LOAD_NOTICED
from dpl_router.telemetry.reloads import Reloads

FINISHES: Mapping[str, Finish] = {word: word for word in get_args(Finish)}
"""A node may end an answer with any word, and words of others are no labels."""


class Counted:
    def __init__(self, metrics: RouterMetrics, reloads: Reloads) -> None:
        self._metrics = metrics
        self._reloads = reloads

    def answer(self, metrics: ModelMetrics, call: ChatRequest, attempt: Attempt) -> None:
        """Once for each, however it ended."""
        done = attempt.done
        usage = done.usage if done is not None else None
        tokens = (usage.completion_tokens if usage is not None else None) or attempt.tokens
        seconds = attempt.last_at - (attempt.first_at or attempt.last_at)
        if tokens > 1 and seconds > 0:
            metrics.time_per_output_token.observe(seconds / (tokens - 1))
            pair = self._metrics.node_model(attempt.node.name, attempt.model)
            pair.output_tokens.inc(tokens)
            pair.decode_seconds.inc(seconds)
        if done is not None and done.finish is not None:
            metrics.finishes[FINISHES.get(done.finish, "other")].value += 1
        if usage is not None:
            self._usage(metrics, usage, attempt)
        timings = done.timings if done is not None else None
        if timings is not None and (timings.load_seconds or 0.0) >= LOAD_NOTICED:
            node = attempt.node.name
            cause = self._reloads.why(node, attempt.model, call, attempt.started)
            self._metrics.node(node).reloads[cause].inc()

    def _usage(self, metrics: ModelMetrics, usage: Usage, attempt: Attempt) -> None:
        if usage.truncated:
            self._metrics.node_model(attempt.node.name, attempt.model).prompt_truncated.inc()
        if usage.prompt_tokens:
            metrics.input_tokens.value += usage.prompt_tokens
            metrics.prompt_sizes.observe(usage.prompt_tokens)
        if usage.completion_tokens:
            metrics.output_tokens.value += usage.completion_tokens
            metrics.answer_sizes.observe(usage.completion_tokens)
        if usage.cached_tokens:
            metrics.cached_tokens.inc(usage.cached_tokens)
