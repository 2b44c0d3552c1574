"""What every surface needs on a raw connection: the body, the hang-up, the head, the stream.

A plain answer leaves through the client's wire, all else as ASGI messages: those are built here,
and for the errors of inference calls in `front.direct`.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from litestar.types import HTTPScope, Receive, Send

from dpl_router.dispatch.answer import Answer
from dpl_router.dispatch.wire import Wire, joined
from dpl_router.errors import ClientGone, MethodNotAllowed, TooLarge, Unsupported

MAX_BODY = 32 * 1024 * 1024
STALL_SECONDS = 15.0
STREAM_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
COMMENT = b": waiting for the node\n\n"

Header = tuple[bytes, bytes]


async def read_body(scope: HTTPScope, receive: Receive) -> bytes:
    """The whole body of a POST, at most 32 MiB.

    Raises: MethodNotAllowed, Unsupported, TooLarge, ClientGone.
    """
    here = body_here(scope)
    return here if here is not None else await awaited_body(scope, receive)


def body_here(scope: HTTPScope) -> bytes | None:
    """The same, where it need not be waited for; else None, and `awaited_body` is to be asked."""
    if scope["method"] != "POST":
        raise MethodNotAllowed(f"{scope['method']} is not served here; send a POST", ["POST"])
    state: Any = scope["state"]
    if state["headers"].get(b"content-encoding", b"identity") != b"identity":
        raise Unsupported("a compressed body is not read; send it without Content-Encoding")
    here = wire_of(scope).take()
    if here is not None and len(here) > MAX_BODY:
        _bounded(len(here))
    return here


async def awaited_body(scope: HTTPScope, receive: Receive) -> bytes:
    length = headers_of(scope).get(b"content-length", b"")
    if length.isdigit() and int(length) > MAX_BODY:
        raise TooLarge("the body is over 32 MiB")
    return await _gathered(receive)


async def _gathered(receive: Receive) -> bytes:
    pieces: list[bytes] = []
    size = 0
    message: Any
    while (message := await receive())["type"] == "http.request":
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        _bounded(size)
        if not message.get("more_body"):
            return b"".join(pieces)
    raise ClientGone("the client left while it sent its request")


def _bounded(size: int) -> None:
    if size > MAX_BODY:
        raise TooLarge("the body is over 32 MiB")


def headers_of(scope: HTTPScope) -> Mapping[bytes, bytes]:
    """By name; of several with one name the last."""
    state: Any = scope["state"]
    headers: Mapping[bytes, bytes] = state["headers"]
    return headers


def wire_of(scope: HTTPScope) -> Wire:
    """The client's connection: our own listener serves it. What its `left` gives is to be
    cancelled when the answer is out."""
    extensions: Any = scope["extensions"]
    wire: Wire = extensions["dpl.wire"]
    return wire


def answer_headers(answer: Answer, request_id: str) -> list[Header]:
    return [
        (b"x-dpl-node", answer.node.encode()),
        (b"x-dpl-reason", answer.reason.encode()),
        (b"x-dpl-attempts", str(answer.attempts).encode()),
        (b"x-dpl-queue-ms", str(answer.queue_ms).encode()),
        (b"x-request-id", request_id.encode()),
    ]


def lines_of(headers: Iterable[Header]) -> bytes:
    """As `Wire.answer` wants them."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def answer_lines(answer: Answer, request_id: str) -> bytes:
    """Those of `answer_headers`, likewise."""
    return (
        f"x-dpl-node: {answer.node}\r\nx-dpl-reason: {answer.reason}\r\n"
        f"x-dpl-attempts: {answer.attempts}\r\nx-dpl-queue-ms: {answer.queue_ms}\r\n"
        f"x-request-id: {request_id}\r\n"
    ).encode()


async def send_whole(send: Send, status: int, headers: Iterable[Header], body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class Streams:
    """The open event streams. One look a second ends those whose client has not read for 15 s."""

    def __init__(self, heartbeat: float) -> None:
        """`heartbeat`: seconds of silence after which a comment tells that we live."""
        self.heartbeat = heartbeat
        self._streams: set[EventStream] = set()

    def watch(self, stream: "EventStream") -> None:
        self._streams.add(stream)

    def forget(self, stream: "EventStream") -> None:
        self._streams.discard(stream)

    async def run(self) -> None:
        """Until cancelled; a task of the application's own group."""
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for stream in tuple(self._streams):
                if stream.stalled(now):
                    stream.cancel()


class EventStream:
    """The way towards a client of server-sent events: head once, then bytes as they come.

    Once `keep_alive` was called a comment leaves after each interval of silence; where that is the
    first thing to leave, the head says `X-DPL-Node: pending`.
    """

    def __init__(
        self,
        send: Send,
        request_id: str,
        streams: Streams,
        head: Sequence[Header] = STREAM_HEADERS,
    ) -> None:
        self.head = head
        self._send = send
        self._request_id = request_id
        self._streams = streams
        self._sending_since: float | None = None
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._beats: asyncio.Task[None] | None = None
        self.started = False

    def keep_alive(self) -> None:
        """Start to count the silence."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._streams.heartbeat, self._start_beating)

    def _start_beating(self) -> None:
        self._beats = asyncio.get_running_loop().create_task(self._beat())

    async def _beat(self) -> None:
        if not self.started:
            await self.start([(b"x-dpl-node", b"pending"), self._id_header()])
        while True:
            await self.write(COMMENT)
            await asyncio.sleep(self._streams.heartbeat)

    async def quiet(self) -> None:
        """The first word is there: no more heartbeats. Call before anything else is sent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._beats is not None:
            self._beats.cancel()
            await asyncio.gather(self._beats, return_exceptions=True)

    async def start(self, headers: Iterable[Header]) -> None:
        self.started = True
        self._streams.watch(self)
        message: Any = {
            "type": "http.response.start",
            "status": 200,
            "headers": [*self.head, *headers],
        }
        await self._send(message)

    async def write(self, data: bytes) -> None:
        self._sending_since = time.monotonic()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self._sending_since = None

    async def end(self, data: bytes = b"") -> None:
        self._sending_since = time.monotonic()
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    def close(self) -> None:
        self._streams.forget(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._beats is not None:
            self._beats.cancel()

    def stalled(self, now: float) -> bool:
        return self._sending_since is not None and now - self._sending_since > STALL_SECONDS

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _id_header(self) -> Header:
        return (b"x-request-id", self._request_id.encode())


async def pump(
    answer: Answer, stream: EventStream, wire: Wire, last: bytes, cut: bytes = b""
) -> None:
    """Pass an answer on, several events in one write, then `last`.

    `cut` goes out before it where the node cut the prompt. Raises: UpstreamBroke, ClientGone.
    """
    if data := joined(answer.first):
        await stream.write(data)
    await answer.flow(wire)
    await stream.end(cut + last if answer.truncated else last)
