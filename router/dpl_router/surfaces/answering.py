"""One call of a client from its decoded request to the last byte of its answer, in any protocol.

What the protocols say differently is in a `Voice`.
"""

import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from litestar.types import HTTPScope, Send

from dpl_router.conversation import ChatRequest
from dpl_router.dispatch.answer import Answer
from dpl_router.dispatch.dispatcher import Dispatcher
from dpl_router.dispatch.wire import Gone, Wire, joined
from dpl_router.errors import ClientGone, DplError, NotFound, UpstreamRefused
from dpl_router.model_metrics import Route
from dpl_router.security.guards import identity_of
from dpl_router.surfaces.relay import (
    STREAM_HEADERS,
    EventStream,
    Header,
    Streams,
    answer_headers,
    answer_lines,
    lines_of,
    pump,
    wire_of,
)

CUT = "truncated: the node cut the prompt to its context"
TRUNCATED: Header = (b"x-dpl-truncated", b"prompt")
NO_SUCH_CALL = frozenset({404, 405, 501})
"""Statuses of a server that does not know the path, or not for this kind of model."""
HARMLESS = re.compile(
    r"(application/(json|x-ndjson|x-subrip)|text/(event-stream|plain|vtt))(;[ \w=;\".-]*)?", re.I
)
"""Content types of a node that no browser takes for a page of ours."""

Tell = Callable[[str, str, float], None]


@dataclass(slots=True)
class Voice:
    """How one call of one protocol is answered; only read."""

    route: Route
    broken: Callable[[DplError], bytes]
    """What tells a failure after the head has left: whole events or lines, the last ones."""
    plain: Sequence[Header] = ((b"content-type", b"application/json"),)
    stream: Sequence[Header] = STREAM_HEADERS
    last: bytes = b""
    """What ends a stream after the answer's own last bytes."""
    comment: Callable[[str], bytes] | None = None
    """What a client overhears. None: the protocol has no such thing, so there are no heartbeats."""
    as_the_node: bool = False
    """Nothing of the answer is known but that it is one: its content type is the node's."""
    lines: bytes = field(init=False)
    """Those of `plain`."""

    def __post_init__(self) -> None:
        self.lines = lines_of(self.plain)


def sse_comment(text: str) -> bytes:
    return b": " + text.encode() + b"\n\n"


async def serve(chat: ChatRequest, voice: Voice, scope: HTTPScope, send: Send) -> None:
    """Answer `chat`; `X-DPL-Node` names the node that speaks.

    The node has said its first word before our 200 goes out, so a refusal is still a status and a
    dead node is still retried elsewhere; where the protocol has comments, the head leaves all the
    same after 15 s of silence. Raises: DplError, while no head has left.
    """
    wire = wire_of(scope)
    gone = wire.left()
    opening = opened(chat, voice.route, scope, gone)
    try:
        if chat.stream:
            streams: Streams = scope["app"].state["streams"]
            stream = EventStream(send, chat.id, streams, voice.stream)
            await _stream(opening, chat, voice, stream, wire)
        else:
            _tell(await opening, chat, voice, wire)
    except ClientGone:
        return
    finally:
        gone.cancel()


def opened(
    chat: ChatRequest, route: Route, scope: HTTPScope, gone: Gone, tell: Tell | None = None
) -> Coroutine[Any, Any, Answer]:
    """The dispatcher's, with its arguments."""
    dispatcher: Dispatcher = scope["app"].state["dispatcher"]
    return dispatcher.open(chat, gone, key=identity_of(scope).name, route=route, tell=tell)


async def serve_where_known(chat: ChatRequest, voice: Voice, scope: HTTPScope, send: Send) -> None:
    """As `serve`, for a call that not every server knows. Raises: NotFound, where none does."""
    try:
        await serve(chat, voice, scope, send)
    except UpstreamRefused as error:
        if error.upstream_status not in NO_SUCH_CALL:
            raise
        path, model = scope["path"], chat.model or "auto"
        raise NotFound(f"no node answers {path} for {model!r} ({error.message})") from error


def _tell(answer: Answer, chat: ChatRequest, voice: Voice, wire: Wire) -> None:
    """A plain answer, of which the first pieces are all."""
    try:
        headers = _plain_headers(answer, voice)
        lines = voice.lines if headers is voice.plain else lines_of(headers)
        wire.answer(lines + answer_lines(answer, chat.id), joined(answer.first))
    finally:
        answer.close()


def _plain_headers(answer: Answer, voice: Voice) -> Sequence[Header]:
    headers = _as_said(voice.plain, voice, answer) if voice.as_the_node else voice.plain
    return [*headers, TRUNCATED] if answer.truncated else headers


async def _stream(
    opening: Awaitable[Answer], chat: ChatRequest, voice: Voice, stream: EventStream, wire: Wire
) -> None:
    if voice.comment is not None:
        stream.keep_alive()
    answer = None
    try:
        answer = await opening
        await stream.quiet()
        if not stream.started:
            stream.head = _as_said(voice.stream, voice, answer)
            await stream.start(answer_headers(answer, chat.id))
        elif voice.comment is not None:
            await stream.write(voice.comment(f"node {answer.node}"))
        cut = voice.comment(CUT) if voice.comment else b""
        await pump(answer, stream, wire, voice.last, cut)
    except DplError as error:
        await stream.quiet()
        if not stream.started or isinstance(error, ClientGone):
            raise
        await stream.end(voice.broken(error))
    finally:
        stream.close()
        if answer is not None:
            answer.close()


def _as_said(headers: Sequence[Header], voice: Voice, answer: Answer) -> Sequence[Header]:
    """`headers`, with the node's own content type where it is not ours to choose."""
    if not voice.as_the_node or not HARMLESS.fullmatch(answer.media):
        return headers
    media = (b"content-type", answer.media.encode("latin-1"))
    return [media, *(header for header in headers if header[0] != b"content-type")]
