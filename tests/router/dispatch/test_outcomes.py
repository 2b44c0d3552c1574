"""What the scheduler learns from an attempt."""

import asyncio
from typing import Any, cast

import pytest

from dpl_router.conversation import (
    Done,
    Timings,
    Usage,
)
from dpl_router.dispatch.attempt import Attempt
from dpl_router.dispatch.outcomes import outcome_of

NOBODY = cast(Any, None)


async def ended(done: Done, counted: int) -> Attempt:
    """A call that ended so, after `counted` pieces of text were seen."""
    gone = asyncio.get_running_loop().create_future()
    attempt = Attempt("1", NOBODY, "m", NOBODY, gone, 0.0)
    attempt.done, attempt.tokens = done, counted
    return attempt


@pytest.mark.parametrize("timings", [None, Timings(eval_seconds=1.0)])
async def test_a_plain_answer_teaches_the_length_that_its_usage_tells(
    timings: Timings | None,
) -> None:
    usage = Usage(prompt_tokens=5, completion_tokens=70)
    attempt = await ended(Done("stop", usage, timings), counted=0)

    assert outcome_of(attempt, None).tokens == 70


async def test_without_usage_the_pieces_are_the_length() -> None:
    attempt = await ended(Done("stop", None, None), counted=12)

    assert outcome_of(attempt, None).tokens == 12
