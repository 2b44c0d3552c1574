"""What a lease call makes of an exporter that lies, dies, forgets or wants a key."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
import structlog.testing
from prometheus_client import CollectorRegistry

from dpl_router.control import Control
from dpl_router.errors import Unavailable
from dpl_router.metrics import RouterMetrics
from dpl_router.nodes.lease_client import LONGEST_LEASE, LeaseClient, Refused
from dpl_router.nodes.slots import NodeSlots
from tests.fakes.router import until
from tests.fakes.wire import Peer, served

GRANTED = {"token": 7, "slots": 1, "slots_free": 3}
HUGE = b"1" * 401


def http(status: int, body: object) -> bytes:
    said = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s" % (status, len(said), said)


class Heard:
    """What lease answers said of others."""

    def __init__(self) -> None:
        self.others: list[int] = []
        self.exclusive: list[float] = []

    def on_others(self, node: str, slots: int) -> None:
        self.others.append(slots)

    def on_exclusive(self, node: str, seconds: float) -> None:
        self.exclusive.append(seconds)


Asked = Callable[[dict[str, object]], Awaitable[bytes]]
"""A body of /lock -> the whole answer; empty = none."""


class Exporter:
    """Answers /lock as `asked` says; `bodies` are what it was asked."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.bodies: list[dict[str, object]] = []

    async def __call__(self, peer: Peer) -> None:
        while True:
            head, _, body = (await peer.request()).partition(b"\r\n\r\n")
            if b"/unlock" in head.split(b"\r\n")[0]:
                await peer.say(http(200, {}))
                continue
            wish: dict[str, object] = msgspec.json.decode(body)
            self.bodies.append(wish)
            answer = await self._asked(wish)
            if not answer:
                return
            await peer.say(answer)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Busy:
    """Requests under way, as the book counts them."""

    def __init__(self) -> None:
        self.count = 1

    def __call__(self) -> int:
        return self.count


class Holding:
    def __init__(self, slots: NodeSlots, exporter: Exporter, heard: Heard) -> None:
        self.slots = slots
        self.exporter = exporter
        self.heard = heard
        self.busy = Busy()
        self.clock = Clock()


@asynccontextmanager
async def holding(asked: Asked) -> AsyncIterator[Holding]:
    """A node with one request under way; its clock stands still unless a test moves it."""
    exporter, heard, busy, clock = Exporter(asked), Heard(), Busy(), Clock()
    async with served(exporter) as url:
        control = Control(url)
        metrics = RouterMetrics(CollectorRegistry()).leases
        slots = NodeSlots(
            "a",
            LeaseClient(control, "us"),
            "us",
            busy=busy,
            listener=heard,
            metrics=metrics,
            ttl=15.0,
            clock=clock,
        )
        made = Holding(slots, exporter, heard)
        made.busy, made.clock = busy, clock
        slots.wanted()
        try:
            yield made
        finally:
            await slots.close()
            await control.close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b'{"token": 1, "slots": %s, "slots_free": 1}' % HUGE),
        (200, b'{"token": 1, "slots": 1, "slots_free": %s}' % HUGE),
        (200, b'{"token": 1, "slots": 0, "slots_free": 1}'),
        (200, b'{"token": %s, "slots": 1, "slots_free": 1}' % HUGE),
        (409, b'{"holders": [{"owner": "\xff"}]}'),
        (409, b'{"holders": [{"owner": "x", "slots": %s}]}' % HUGE),
        (409, b'{"holders": [{"owner": "x", "slots": -1}]}'),
        (409, b"[" * 99_999),
        (409, b'{"more": "%s"}' % (b"x" * 1_000_000)),
    ],
)
async def test_nonsense_is_no_lease_and_is_not_asked_for_again_at_once(
    status: int, body: bytes
) -> None:
    async def nonsense(_: dict[str, object]) -> bytes:
        return http(status, body)

    async with holding(nonsense) as it:
        await until(lambda: len(it.exporter.bodies) == 1)
        await asyncio.sleep(0.1)
        it.clock.now += 2.0
        await asyncio.sleep(0.7)

        assert it.slots.token is None
        assert len(it.exporter.bodies) == 1
        it.clock.now += 1.0
        await until(lambda: len(it.exporter.bodies) == 2)


async def test_no_refusal_lasts_longer_than_a_lease_may() -> None:
    """Else one answer of a broken exporter would take its node out for good."""

    async def held(peer: Peer) -> None:
        await peer.request()
        holder = {"owner": "x", "exclusive": True, "expires_in": 1e300}
        await peer.say(http(409, {"holders": [holder], "expires_in": 1e300}))

    async with served(held) as url:
        control = Control(url)
        answer = await LeaseClient(control, "us").lock(1, 15.0)
        await control.close()

    assert isinstance(answer, Refused)
    assert answer.expires_in == LONGEST_LEASE


@pytest.mark.parametrize("others", [[], [{"owner": "them", "slots": 2}]])
@pytest.mark.parametrize("busy", [1, 3])
async def test_an_exporter_that_has_forgotten_our_lease_is_asked_for_a_new_one_at_once(
    others: list[dict[str, object]], busy: int
) -> None:
    """It was killed and started anew: it knows no token, and nothing of what we hold."""
    restarted = False

    async def asked(wish: dict[str, object]) -> bytes:
        if wish.get("token") == 7 and restarted:
            return http(409, {"error": "stale", "holders": others, "expires_in": 0.0})
        return http(200, {**GRANTED, "token": 8 if restarted else 7, "slots": wish["slots"]})

    async with holding(asked) as it:
        await until(lambda: it.slots.token == 7)
        restarted = True
        it.busy.count = busy
        it.clock.now += 5.0
        await until(lambda: it.slots.token is None or it.slots.token == 8)
        it.clock.now += 0.2
        await until(lambda: it.slots.token == 8, seconds=3)

        assert [wish.get("token") for wish in it.exporter.bodies] == [None, 7, None]
        assert it.exporter.bodies[-1]["slots"] == busy
        assert it.heard.others == [2 if others else 0]


async def test_a_lease_that_is_known_but_cannot_grow_is_kept() -> None:
    async def asked(wish: dict[str, object]) -> bytes:
        if wish["slots"] == 1:
            return http(200, GRANTED)
        return http(409, {"holders": [{"owner": "us", "slots": 1}], "expires_in": 9.0})

    async with holding(asked) as it:
        await until(lambda: it.slots.token == 7)
        it.busy.count = 2
        await until(lambda: len(it.exporter.bodies) == 2)
        await asyncio.sleep(0.3)

        assert it.slots.token == 7


async def test_a_node_that_has_fewer_slots_than_its_lease_is_asked_for_less() -> None:
    """400: more than the node has; it may have been started anew with less."""
    capacity = 4

    async def asked(wish: dict[str, object]) -> bytes:
        assert isinstance(wish["slots"], int)
        if wish["slots"] > capacity:
            return http(400, {"error": "this node has fewer"})
        return http(200, {**GRANTED, "slots": wish["slots"], "slots_free": 0})

    async with holding(asked) as it:
        it.busy.count = 4
        await until(lambda: it.exporter.bodies and it.exporter.bodies[-1]["slots"] == 4)
        capacity = 1
        for _ in range(4):
            it.clock.now += 5.0
            await asyncio.sleep(0.3)

        assert it.slots.token == 7
        assert [wish["slots"] for wish in it.exporter.bodies[-3:]] == [2, 1, 1]


async def test_a_lease_ends_a_ttl_after_it_was_asked_for_not_after_it_was_granted() -> None:
    """The exporter began to count before its answer came: it may lease the slots anew by then."""

    async def slow_once(_: dict[str, object]) -> bytes:
        if len(it.exporter.bodies) > 1:
            return b""
        it.clock.now += 10.0  # on the way
        return http(200, GRANTED)

    async with holding(slow_once) as it:
        await until(lambda: it.slots.token == 7)
        await until(lambda: len(it.exporter.bodies) == 2, what="a renewal, which fails")
        it.clock.now = 1014.9
        await asyncio.sleep(0.5)
        before = it.slots.token
        it.clock.now = 1015.0
        await until(lambda: it.slots.token is None, seconds=3)

    assert before == 7


@pytest.mark.parametrize("status", [401, 403])
async def test_a_lease_refused_for_want_of_a_key_is_said_once_and_its_end_too(status: int) -> None:
    """Chats run on without a lease: nothing else would tell."""
    key = False

    async def asked(_: dict[str, object]) -> bytes:
        return http(200, GRANTED) if key else http(status, {"error": "no"})

    with structlog.testing.capture_logs() as told:
        async with holding(asked) as it:
            for calls in (1, 2, 3):
                await until(lambda calls=calls: len(it.exporter.bodies) == calls)  # type: ignore[misc]
                await asyncio.sleep(0.05)
                it.clock.now += 3.0
            key = True
            it.clock.now += 3.0
            await until(lambda: it.slots.token == 7)

    (warning,) = [line for line in told if line["event"] == "lease not taken"]
    assert warning["log_level"] == "warning"
    assert warning["node"] == "a"
    assert str(status) in warning["why"]
    assert "exporter_key" in warning["next"]
    assert "DPL_API_KEY" in warning["next"]
    assert [line["node"] for line in told if line["event"] == "leases work again"] == ["a"]


async def test_another_reason_is_said_anew() -> None:
    answers = iter([http(401, {}), http(401, {}), http(500, {}), http(401, {})])

    async def asked(_: dict[str, object]) -> bytes:
        return next(answers)

    with structlog.testing.capture_logs() as told:
        async with holding(asked) as it:
            for calls in range(1, 5):
                await until(lambda calls=calls: len(it.exporter.bodies) == calls)  # type: ignore[misc]
                await asyncio.sleep(0.05)
                it.clock.now += 3.0 if calls < 4 else 0.0

    reasons = [line["why"][-3:] for line in told if line["event"] == "lease not taken"]
    assert reasons == ["401", "500", "401"]


async def test_the_status_of_a_refused_call_is_in_its_message() -> None:
    async def no(peer: Peer) -> None:
        await peer.request()
        await peer.say(http(403, {}))

    async with served(no) as url:
        control = Control(url)
        with pytest.raises(Unavailable, match="/lock answered 403"):
            await LeaseClient(control, "us").lock(1, 15.0)
        await control.close()
