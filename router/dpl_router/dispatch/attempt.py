"""One call at one node: its first words, and what follows."""

import time
from collections.abc import Callable, Sequence

from dpl_router.conversation import ChatRequest, Delta, Done, Failed, Piece
from dpl_router.dispatch.wire import Gone, Wire, joined, written
from dpl_router.errors import (
    ClientGone,
    DplError,
    UpstreamBroke,
    UpstreamError,
    UpstreamRefused,
)
from dpl_router.loose_json import ODD
from dpl_router.tallies import Observer
from dpl_router.upstreams.base import Decoder, Head
from dpl_router.upstreams.calls import unreadable
from dpl_router.upstreams.clients import NodeClient
from dpl_router.upstreams.stream import UpstreamStream

ERROR_BODY = 64 * 1024
TELL_EVERY = 0.25
"""Seconds between two counts of tokens told to the core."""


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
