"""The seed's own chat: OpenAI's body, always a stream, and the node's name before any token."""

import asyncio

import msgspec
from litestar import asgi
from litestar.types import HTTPScope, Receive, Send
from msgspec.structs import replace

from dpl_router.conversation import ChatRequest
from dpl_router.dispatch.answer import Answer
from dpl_router.dispatch.wire import Wire
from dpl_router.errors import ClientGone, DplError
from dpl_router.security.guards import user
from dpl_router.surfaces.answering import opened
from dpl_router.surfaces.openai import DONE, decode_chat, error_event
from dpl_router.surfaces.reading import read_call
from dpl_router.surfaces.relay import EventStream, pump, wire_of

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@asgi("/api/chat/completions", guards=[user], copy_scope=False)
async def seed_chat(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """The 200 and an event that names the node leave at dispatch; a retry sends another such event.

    What is refused before any dispatch is a real status; a cut answer ends with an error event.
    """
    chat = as_stream(await read_call(scope, receive, decode_chat))
    state = scope["app"].state
    wire = wire_of(scope)
    stream = EventStream(send, chat.id, state.streams)
    dispatches: asyncio.Queue[bytes | None] = asyncio.Queue()
    gone = wire.left()

    def tell(node: str, reason: str, waited: float) -> None:
        said = {"node": node, "reason": reason, "queue_ms": round(waited * 1000)}
        event = msgspec.json.encode(said)
        dispatches.put_nowait(b"data: " + event + b"\n\n")

    opening = asyncio.get_running_loop().create_task(opened(chat, "chat", scope, gone, tell))
    opening.add_done_callback(lambda _: dispatches.put_nowait(None))
    try:
        await _relay(stream, wire, dispatches, opening, chat.id)
    except ClientGone:
        return
    finally:
        gone.cancel()
        stream.close()
        opening.cancel()
        if opening.done() and not opening.cancelled() and opening.exception() is None:
            opening.result().close()


async def _relay(
    stream: EventStream,
    wire: Wire,
    dispatches: "asyncio.Queue[bytes | None]",
    opening: "asyncio.Task[Answer]",
    request_id: str,
) -> None:
    stream.keep_alive()
    try:
        while (event := await dispatches.get()) is not None:
            if not stream.started:
                await stream.start([(b"x-request-id", request_id.encode())])
            await stream.write(event)
        answer = await opening
        await stream.quiet()
        await pump(answer, stream, wire, DONE)
    except DplError as error:
        await stream.quiet()
        if not stream.started or isinstance(error, ClientGone):
            raise
        await stream.end(error_event(error))


def as_stream(chat: ChatRequest) -> ChatRequest:
    """The same chat, asked for as a stream whatever its body says."""
    if chat.stream:
        return chat
    fields = _fields(chat.body)
    fields["stream"] = msgspec.Raw(b"true")
    return replace(chat, stream=True, body=msgspec.json.encode(fields))
