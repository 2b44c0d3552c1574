"""What is open at the nodes: which of it may be stopped, and how long nothing was heard of it."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from dpl_router.dispatch.attempt import Attempt
from dpl_router.dispatch.running import LONG_SILENCE, Running

NOBODY = cast(Any, None)


async def test_a_plain_answer_that_may_be_half_written_does_not_wait_for_its_first_word() -> None:
    gone = asyncio.get_running_loop().create_future()
    stream, plain = (Attempt("1", NOBODY, "m", NOBODY, gone, 10.0, of) for of in (0.0, 30.0))

    assert stream.waits(10.0)
    assert not plain.waits(39.9)
    assert plain.waits(40.0)
    stream.first_at = 11.0
    assert not stream.waits(99.0)


async def test_a_silence_counts_from_the_last_word_of_what_is_open_there() -> None:
    running = Running()

    def opened(node: str, started: float, last: float = 0.0) -> None:
        there = cast(Any, SimpleNamespace(name=node))
        gone = asyncio.get_running_loop().create_future()
        attempt = Attempt("1", there, "m", NOBODY, gone, started)
        attempt.last_at = last
        running.add(attempt)

    opened("a", 10.0)
    opened("a", 90.0)

    assert running.silence("a", 100.0) == 90.0
    assert running.silence("a", 10.0 + LONG_SILENCE - 0.1) is None
    assert running.silence("b", 100.0) is None

    opened("a", 5.0, last=95.0)

    assert running.silence("a", 100.0) is None
    assert running.silence("a", 120.0) == 25.0
