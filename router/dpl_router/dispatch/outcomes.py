"""What the end of a call at a node means: to the scheduler, to another node, to the metrics."""

from dpl_router.dispatch.attempt import Attempt
from dpl_router.errors import (
    BadRequest,
    ClientGone,
    DplError,
    LeaseLost,
    ModelUnknown,
    RequestRefused,
    Unavailable,
    UpstreamBroke,
    UpstreamError,
    UpstreamRefused,
    UpstreamSilent,
    UpstreamUnreachable,
)
from dpl_router.model_metrics import Ended, RetryReason
from dpl_router.scheduling.types import Failure, Outcome, OutcomeKind

DONE = OutcomeKind.DONE
"""By itself, since an enum looks its members up slowly."""


def retry_reason(error: DplError) -> RetryReason | None:
    """Why another node may be tried; None where the client shall hear `error` at once."""
    match error:
        case LeaseLost():
            return "lock_conflict"
        case UpstreamUnreachable():
            return "connect"
        case UpstreamSilent():
            return "timeout"
        case UpstreamRefused():
            return "status"
        case UpstreamBroke():
            return "stream_cut"
        case _:
            return None


def outcome_of(attempt: Attempt, error: DplError | None) -> Outcome:
    """What the scheduler learns from an attempt."""
    done, tokens = attempt.done, attempt.tokens
    timings = done.timings if done is not None else None
    if done is not None and done.usage is not None:
        tokens = done.usage.completion_tokens or tokens  # of a plain answer nothing was counted
    if error is None and timings is None:
        return Outcome(DONE, tokens)
    kind, failure, retry_after = _kind(attempt, error)
    if timings is None:
        return Outcome(kind, tokens, failure, retry_after)
    return Outcome(
        kind,
        tokens,
        failure,
        retry_after,
        prompt_evaluated=timings.prompt_evaluated,
        prompt_seconds=timings.prompt_seconds,
        eval_tokens=timings.eval_tokens,
        eval_seconds=timings.eval_seconds,
        load_seconds=timings.load_seconds,
    )


def _kind(
    attempt: Attempt, error: DplError | None
) -> tuple[OutcomeKind, Failure | None, float | None]:
    match error:
        case None:
            return OutcomeKind.DONE, None, None
        case ClientGone():
            return OutcomeKind.ABANDON, None, None
        case LeaseLost() | Unavailable():  # not the node's doing
            return OutcomeKind.CANCELLED, None, None
        case RequestRefused():
            return OutcomeKind.ERROR, Failure.REQUEST, None
        case UpstreamSilent() if attempt.hurried:
            return OutcomeKind.CANCELLED, None, None
        case UpstreamSilent():
            return OutcomeKind.TIMEOUT, Failure.TIMEOUT, None
        case UpstreamUnreachable():
            failure = Failure.RESET if error.sent_whole else Failure.CONNECT
            return OutcomeKind.ERROR, failure, None
        case UpstreamRefused():
            return OutcomeKind.ERROR, _status_failure(error), error.retry_after
        case _:
            return OutcomeKind.ERROR, Failure.CUT, None


def _status_failure(error: UpstreamRefused) -> Failure:
    if error.upstream_status == 429 or error.retry_after is not None:
        return Failure.BUSY
    if error.upstream_status in (404, 405):
        return Failure.REQUEST  # it lacks the path or the model, not its health
    return Failure.STATUS_5XX


def ended(error: DplError | None) -> Ended:
    """The outcome word of the metrics."""
    match error:
        case None:
            return "ok"
        case ClientGone():
            return "cancelled"
        case UpstreamSilent():
            return "timeout"
        case UpstreamError():
            return "upstream_error"
        case BadRequest() | ModelUnknown():
            return "client_error"
        case _:
            return "rejected"
