"""One call at one node: its first words, what follows, and what its end means to others."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from dpl_router.conversation import ChatRequest, Delta, Done, Failed, Piece
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
from dpl_router.loose_json import ODD
from dpl_router.model_metrics import Ended, RetryReason
from dpl_router.scheduling.types import Candidate, Demand, Failure, Outcome, OutcomeKind
from dpl_router.tallies import Observer
from dpl_router.upstreams.base import Decoder, Head
from dpl_router.upstreams.calls import unreadable
from dpl_router.upstreams.clients import NodeClient
from dpl_router.upstreams.stream import UpstreamStream

ERROR_BODY = 64 * 1024
LONGEST_ANSWER = 4096
"""Tokens of a plain answer that is given time where the client set no limit."""
TELL_EVERY = 0.25
"""Seconds between two counts of tokens told to the core."""
LONG_SILENCE = 20.0
"""Seconds: less is nothing to speak of. A model that is loaded, or a long prompt, takes longer."""

DONE = OutcomeKind.DONE
"""By itself, since an enum looks its members up slowly."""

Gone = asyncio.Future[None]
"""Ends when the client has left."""


class Wire(Protocol):
    """The client's connection, which is written to without a message."""

    def write(self, data: bytes) -> asyncio.Future[None] | None:
        """More of an answer that was begun. What ends when the client has read; None while it
        keeps up."""
        ...

    def answer(self, headers: bytes, body: bytes) -> None:
        """All of a 200; `headers` are whole lines, but for the length. Raises: ClientGone."""
        ...

    def take(self) -> bytes | None:
        """The whole body of the request; None where it must be waited for, or was taken."""
        ...

    def left(self) -> Gone: ...


def joined(pieces: Sequence[Piece]) -> bytes:
    """What the client gets of them."""
    if len(pieces) == 1:
        return pieces[0][1] or b""
    return b"".join([raw for _, raw in pieces if raw])


def written(wire: Wire, last: bytes, error: DplError) -> DplError:
    """`error`, behind what came before it."""
    if last:  # an empty chunk would be a clean end
        wire.write(last)
    return error


class Attempt:
    """One call at one node; in the book from its start until it is `finished`, once."""

    def __init__(
        self,
        id: str,
        node: NodeClient,
        model: str,
        stream: UpstreamStream,
        gone: Gone,
        started: float,
        writing: float = 0.0,
    ) -> None:
        """`writing`: seconds in which a plain answer may be written and nothing heard of it."""
        self.id = id
        self.node = node
        self.model = model
        self.stream = stream
        self.gone = gone
        self.started = started
        self.writing = writing
        self.told = started
        """When the core heard of its tokens last."""
        self.first_at: float | None = None
        self.last_at = 0.0
        self.tokens = 0
        self.done: Done | None = None
        self.failed: DplError | None = None
        """What the node told behind events that are to be handed out first."""
        self.media = ""
        """The content type of the node's answer, as it said it."""
        self.finished = False
        self.hurried = False
        """It had too little time for its silence to say anything of the node."""
        self._decoder: Decoder | None = None
        gone.add_done_callback(self._hang_up)

    def close(self) -> None:
        """Let go of the node: at once where the answer is not whole."""
        self.gone.remove_done_callback(self._hang_up)
        self.stream.close()

    def waits(self, now: float) -> bool:
        """For its first word; not of what may be half written."""
        return self.first_at is None and now - self.started >= self.writing

    def _hang_up(self, _: Gone) -> None:
        self.stream.abort(ClientGone("the client left"))

    async def first(self, chat: ChatRequest) -> Sequence[Piece]:
        """The first events. Raises: DplError, as the dialect reads what came instead."""
        stream = self.stream
        while (head := stream.came) is None:
            await stream.news()  # `stream.head` without its coroutine
        if head.status != 200:
            head = await self._second(chat, head)
        self.media = head.headers.get("content-type", "")
        try:
            self._decoder = self.node.dialect.decoder(chat, self.model, head)
        except ODD as error:
            raise self._fit(unreadable(error)) from error
        pieces = self._here(self._decoder) or await self.next()
        if (failed := self.failed) is not None:  # nothing has left: another node may be asked
            cut = isinstance(failed, UpstreamBroke)
            raise UpstreamRefused(failed.message, 200) if cut else failed
        self.first_at = self.last_at
        return pieces

    async def _second(self, chat: ChatRequest, head: Head) -> Head:
        """Of the same call by another path, where the node lacks the first. Raises: DplError."""
        dialect, body = self.node.dialect, await self.stream.read_start(ERROR_BODY)
        other = dialect.second(chat, self.model, head, body)
        if other is not None:
            self.stream.close()
            self.stream = self.node.ask(other, self.stream.timeouts)
            head = await self.stream.head()
            if head.status == 200:
                return head
            body = await self.stream.read_start(ERROR_BODY)
        raise dialect.refusal(head, body)

    async def next(self) -> Sequence[Piece]:
        """The events since; empty only after `Done`. Raises: UpstreamBroke, ClientGone."""
        assert self._decoder is not None
        while self.done is None:
            if self.failed is not None:
                raise self.failed
            if pieces := self._here(self._decoder):
                return pieces
            await self.stream.more()
        return ()

    def _here(self, decoder: Decoder) -> Sequence[Piece]:
        """The events of what has arrived; empty where more must be waited for."""
        stream = self.stream
        data = stream.take()
        try:
            pieces = decoder.feed(data) if data else ()
        except ODD as error:
            raise self._fit(unreadable(error)) from error
        if not pieces and stream.whole():
            pieces = self._end(decoder)
        if pieces:
            self._count(pieces)
        return pieces

    def _end(self, decoder: Decoder) -> Sequence[Piece]:
        """What is left where HTTP says that the answer is whole; a decoder may not have noticed
        that its last word is missing."""
        try:
            pieces = decoder.end()
        except ODD as error:
            raise self._fit(unreadable(error)) from error
        if not pieces or not isinstance(pieces[-1][0], Done | Failed):
            self.failed = self._fit(UpstreamBroke("the answer ended without its last word"))
        return pieces

    def _fit(self, broke: UpstreamBroke) -> UpstreamError:
        return broke if self.last_at else UpstreamRefused(broke.message, 200)

    async def rest(self) -> Sequence[Piece]:
        """All further events at once. Raises: UpstreamBroke, ClientGone."""
        pieces: list[Piece] = []
        while more := await self.next():
            pieces += more
        return pieces

    async def flow(self, wire: Wire, heard: Callable[["Attempt"], None], gaps: Observer) -> None:
        """Pass on what follows the moment it comes, until `Done`; nobody is woken for an event.

        `heard` is called when some time has passed; `gaps` observes the seconds between two
        arrivals. Raises: UpstreamBroke, ClientGone.
        """
        decoder = self._decoder
        assert decoder is not None
        write, monotonic, observe = wire.write, time.monotonic, gaps.observe

        def pour(pieces: Sequence[Piece]) -> None:
            if len(pieces) == 1 and isinstance(event := pieces[0][0], Delta):  # nearly always
                self.tokens += event.events
                now = monotonic()
                observe(now - self.last_at)
                self.last_at = now
                out = pieces[0][1]
            else:
                self._heard(pieces, gaps)
                out = joined(pieces)
                if self.failed is not None:
                    raise written(wire, out, self.failed)
            if out:
                clogged = write(out)
                if clogged is not None:
                    self.stream.hold(clogged)
            if self.last_at - self.told > TELL_EVERY:
                heard(self)

        if self.done is None and self.failed is None:
            self.stream.tap(decoder.feed, pour)
            await self.stream.over()
        if self.done is None and self.failed is None:
            pour(self._end(decoder))
        if self.failed is not None:
            raise self.failed

    def _heard(self, pieces: Sequence[Piece], gaps: Observer) -> None:
        tokens, before = self.tokens, self.last_at
        self._count(pieces)
        if self.tokens > tokens:  # more than the end
            gaps.observe(self.last_at - before)

    def _count(self, pieces: Sequence[Piece]) -> None:
        self.last_at = time.monotonic()
        for event, _ in pieces:
            kind = type(event)
            if kind is Delta:
                self.tokens += event.events  # type: ignore[union-attr]
            elif kind is Done:
                self.done = event  # type: ignore[assignment]
                self.stream.finish()
            elif kind is Failed:
                self.failed = event.error  # type: ignore[union-attr]


def others_could(rows: Sequence[Candidate], node: str, tried: frozenset[str]) -> bool:
    """Another node than this one might serve as well, and was not tried yet."""
    return any(
        row.node != node and row.barred is None and not row.down and row.node not in tried
        for row in rows
    )


def writing_time(chat: ChatRequest, node: str, model: str, rows: Sequence[Candidate]) -> float:
    """Seconds more until the first byte of a plain answer, which may come with its last: twice what
    the node needs for the longest, with all its places taken."""
    for row in rows:
        if row.node == node and row.model == model:
            break
    else:
        return 0.0
    speed = row.decode / (1 + row.crowding * (row.slots - 1))
    return 2 * (chat.max_tokens or LONGEST_ANSWER) / (speed if speed > 1.0 else 1.0)


def patience_for(
    demand: Demand,
    left: float,
    node: NodeClient,
    rows: Sequence[Candidate],
) -> float:
    """Seconds for the first word: half of what is `left` while others could serve, else all."""
    patience = left if left > 1.0 else 1.0
    if len(rows) > 1 and others_could(rows, node.name, demand.excluded):
        patience /= 2
    if patience > node.first_token:
        patience = node.first_token
    return patience


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


def silence(running: Iterable[Attempt], node: str, now: float) -> float | None:
    """Seconds since the last word of what is open at `node`, or since the oldest of it was sent;
    None where nothing is, or where that is less than `LONG_SILENCE`."""
    there = [attempt for attempt in running if attempt.node.name == node]
    if not there:
        return None
    since = max(min(one.started for one in there), max(one.last_at for one in there))
    return now - since if now - since >= LONG_SILENCE else None
