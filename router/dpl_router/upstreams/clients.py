"""Who can be called: for each node of nodes.yaml its dialect, its connections, its patience."""

import ssl
from collections.abc import Callable, Sequence

from dpl_router.conversation import ChatRequest
from dpl_router.errors import NoModelList, UpstreamError, UpstreamRefused
from dpl_router.inventory.tls import context_of
from dpl_router.inventory.types import Node, Timeouts, Tls
from dpl_router.listing import Listed
from dpl_router.loose_json import ODD
from dpl_router.upstreams import stream
from dpl_router.upstreams.base import Dialect, Request
from dpl_router.upstreams.calls import odd
from dpl_router.upstreams.dialects import DIALECTS
from dpl_router.upstreams.keeping import KEEPING, Keeping
from dpl_router.upstreams.transport import NodePool, Origin, Sweeper, UpstreamStream

LIST_SECONDS = 2.0
LIST_BYTES = 1024 * 1024


class NodeClient:
    """One node, ready to be asked. Until it is closed its connections are kept."""

    def __init__(
        self, node: Node, sweeper: Sweeper, trust: Callable[[Tls], ssl.SSLContext] = context_of
    ) -> None:
        """`trust` makes what an https url needs. Raises: OSError where a file is of no use."""
        self.name = node.name
        self.url = node.url
        self.dialect: Dialect = DIALECTS[node.kind]()
        self._times = node.timeouts
        self.first_token = node.timeouts.first_token
        """Seconds that nodes.yaml gives this node for its first word, at most."""
        self._sweeper = sweeper
        headers = {"authorization": f"Bearer {node.api_key}"} if node.api_key else {}
        secure = node.url.startswith("https:")
        self._pool = NodePool(
            Origin.parse(node.url), headers=headers, tls=trust(node.tls) if secure else None
        )
        sweeper.watch(self._pool)

    @property
    def active(self) -> int:
        return self._pool.active

    def send(self, call: ChatRequest, model: str, *, first_byte: float) -> UpstreamStream:
        """Start a call; `first_byte` is what is left of the request's budget, in seconds."""
        times = self._times
        try:
            request = self.dialect.request(call, model)
        except ODD as error:
            raise odd(error) from error
        return self._pool.send(
            request,
            stream.Timeouts(times.connect, first_byte, times.idle, times.total),
        )

    @property
    def keeping(self) -> Keeping | None:
        """How the node's server is told to load and unload; None: it serves what it was started
        with."""
        return KEEPING.get(self.dialect.name)

    def ask(self, request: Request, patience: stream.Timeouts | None = None) -> UpstreamStream:
        """A call of our own; without `patience` the node's, as for a client's request."""
        mine = _patience(self._times, first_byte=self._times.first_token)
        return self._pool.send(request, patience or mine)

    async def answer(self, request: Request, most: int = LIST_BYTES) -> bytes:
        """The body of a 200 to a call of our own, at most so many bytes.

        Raises: DplError, as the dialect reads another status; UpstreamError.
        """
        answer = self.ask(request)
        try:
            head = await answer.head()
            if head.status != 200:
                raise self.dialect.refusal(head, await answer.read_start(most))
            return await answer.read(most)
        finally:
            answer.close()

    async def list_models(self) -> Sequence[Listed]:
        """What the node serves now. Raises: UpstreamError."""
        first, *more = self.dialect.looks
        bodies: list[bytes | None] = [await self._look(first)]
        for look in more:
            try:
                bodies.append(await self._look(look))
            except UpstreamError:
                bodies.append(None)
        return self.dialect.read_models(bodies)

    async def _look(self, request: Request) -> bytes:
        answer = self._pool.send(request, _patience(self._times, first_byte=LIST_SECONDS))
        try:
            head = await answer.head()
            body = await answer.read(LIST_BYTES)
        finally:
            answer.close()
        if head.status == 404:
            raise NoModelList("the model list answered 404")
        if head.status != 200:
            raise UpstreamRefused(f"the model list answered {head.status}", head.status)
        return body

    def close(self) -> None:
        """Abort what runs and forget the connections."""
        self._sweeper.unwatch(self._pool)
        self._pool.close()


def _patience(times: Timeouts, *, first_byte: float) -> stream.Timeouts:
    return stream.Timeouts(times.connect, first_byte, times.idle, times.total)
