"""What is open at the nodes: which of it may be stopped, and how long nothing was heard of it."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from dpl_router.dispatch.attempt import Attempt
from dpl_router.dispatch.running import LONG_SILENCE, Running
from dpl_router.errors import DplError, LeaseLost, Unavailable


class Line:
    """What a stream is told from outside."""

    def __init__(self) -> None:
        self.ended: list[DplError] = []
        self.abort = self.ended.append


def opened(node: str, started: float = 0.0, *, first: float | None = None) -> Attempt:
    there = cast(Any, SimpleNamespace(name=node))
    gone = asyncio.get_running_loop().create_future()
    attempt = Attempt("1", there, "m", cast(Any, Line()), gone, started)
    attempt.first_at = first
    return attempt


def ends(attempt: Attempt) -> list[type[DplError]]:
    return [type(error) for error in cast(Any, attempt.stream).ended]


async def test_only_what_waits_at_the_node_is_sent_elsewhere() -> None:
    running = Running()
    waiting, speaking, other = opened("a"), opened("a", first=1.0), opened("b")
    for attempt in (waiting, speaking, other):
        running.add(attempt)

    running.stop_unanswered("a", "a was cordoned", 10.0)

    assert [ends(one) for one in (waiting, speaking, other)] == [[LeaseLost], [], []]


async def test_a_cut_tells_an_answer_that_has_begun_from_one_that_has_not() -> None:
    """The one ends with an error, the other goes to another node."""
    running = Running()
    waiting, speaking, other = opened("a"), opened("a", first=1.0), opened("b")
    for attempt in (waiting, speaking, other):
        running.add(attempt)

    assert running.cut("a", "a was drained") == 2
    assert [ends(one) for one in (waiting, speaking, other)] == [[LeaseLost], [Unavailable], []]


async def test_the_end_of_the_router_ends_all_that_is_still_open() -> None:
    running = Running()
    here, there, done = opened("a"), opened("b", first=1.0), opened("b")
    for attempt in (here, there, done):
        running.add(attempt)
    running.discard(done)

    running.cut_all(Unavailable("the router ends"))

    assert [ends(one) for one in (here, there, done)] == [[Unavailable], [Unavailable], []]


async def test_a_silence_counts_from_the_last_word_of_what_is_open_there() -> None:
    running = Running()
    running.add(opened("a", 10.0))
    running.add(opened("a", 90.0))

    assert running.silence("a", 100.0) == 90.0
    assert running.silence("a", 10.0 + LONG_SILENCE - 0.1) is None
    assert running.silence("b", 100.0) is None

    speaking = opened("a", 5.0)
    speaking.last_at = 95.0
    running.add(speaking)

    assert running.silence("a", 100.0) is None
    assert running.silence("a", 120.0) == 25.0
