"""One call at one node: its first words, what follows, and how long it may be silent."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dpl_router.conversation import ChatRequest, Delta, Done, Failed, Piece, ToolCall
from dpl_router.dispatch.attempt import Attempt
from dpl_router.dispatch.outcomes import outcome_of, retry_reason
from dpl_router.errors import UpstreamBroke, UpstreamBusy, UpstreamError, UpstreamRefused
from dpl_router.scheduling.types import Failure
from dpl_router.tallies import Sum
from dpl_router.upstreams.base import Head
from dpl_router.upstreams.stream import Limits, Timeouts, UpstreamStream

NOBODY = cast(Any, None)


class Told:
    """A decoder of a node that says `pieces`."""

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces

    def feed(self, data: bytes) -> Sequence[Piece]:
        return self.pieces

    def end(self) -> Sequence[Piece]:
        return ()


class Mute:
    """A client's connection, and the pool of the node's."""

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def forget(self, stream: UpstreamStream) -> None:
        """Nothing is kept."""


def speaking(*pieces: Piece) -> tuple[Attempt, Told]:
    """An attempt at a node that has said `pieces`."""
    told, loop = Told(*pieces), asyncio.get_running_loop()
    dialect = SimpleNamespace(decoder=lambda *_: told)
    stream = UpstreamStream(cast(Any, Mute()), (b"", b""), Timeouts(), Limits(), loop, 0.0)
    stream.came = Head(200, {})
    stream.data_came(b"x")
    node = cast(Any, SimpleNamespace(name="a", dialect=dialect))
    return Attempt("1", node, "m", stream, loop.create_future(), 0.0), told


CALL = ChatRequest("r1", "m", b"{}", True, False, 1)


@pytest.mark.parametrize(
    ("last", "gaps"),
    [
        ([(Done("stop"), b"")], 0),
        ([(ToolCall(0, "c", "f", "{}"), b"a"), (Done("stop"), b"")], 0),
        ([(Delta("b"), b"b"), (Done("stop"), b"")], 1),
        ([(Delta("b"), b"b"), (Delta("c"), b"c"), (Done("stop"), b"")], 1),
    ],
)
async def test_the_end_alone_is_no_word_that_came_after_a_gap(
    last: Sequence[Piece], gaps: int
) -> None:
    attempt, told = speaking((Delta("a"), b"a"))
    await attempt.first(CALL)
    told.pieces = tuple(last)
    attempt.stream.data_came(b"x")
    observed = Sum()

    async with asyncio.timeout(5):
        await attempt.flow(cast(Any, Mute()), lambda _: None, cast(Any, observed))

    assert observed.count == gaps


@pytest.mark.parametrize(
    ("failed", "kind", "failure"),
    [
        (UpstreamBroke("boom"), UpstreamRefused, Failure.STATUS_5XX),
        (UpstreamBusy("boom", 429), UpstreamBusy, Failure.BUSY),
    ],
)
async def test_a_failure_among_the_first_words_is_a_refusal_and_no_cut(
    failed: UpstreamError, kind: type[UpstreamError], failure: Failure
) -> None:
    """Nothing has left: the client did not see an answer break off."""
    attempt, _ = speaking((Delta("a"), b"a"), (Failed(failed), b""))

    with pytest.raises(UpstreamError, match="boom") as caught:
        await attempt.first(CALL)

    assert type(caught.value) is kind
    assert retry_reason(caught.value) == "status"
    assert outcome_of(attempt, caught.value).failure is failure


async def test_a_plain_answer_that_may_be_half_written_does_not_wait_for_its_first_word() -> None:
    gone = asyncio.get_running_loop().create_future()
    stream, plain = (Attempt("1", NOBODY, "m", NOBODY, gone, 10.0, of) for of in (0.0, 30.0))

    assert stream.waits(10.0)
    assert not plain.waits(39.9)
    assert plain.waits(40.0)
    stream.first_at = 11.0
    assert not stream.waits(99.0)
