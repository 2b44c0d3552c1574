"""llama.cpp's dialect: OpenAI's, but a plain answer is asked for as a stream and put together here.

Why (xllamacpp 2026.10.11549, llama-server): a plain call does not notice that its client left,
and the slot writes on to the end (6 to 8 s were seen); its first byte comes with its last, so
nothing is known of it until then. A stream stops within 15 ms, and tells its first token.

What a client sees, compared field by field with the server's own plain answers: the same, but

- `created` is when the answer began, not when it ended; a tool call's keys come in another order;
- an answer that was cut (`length`, or a stop word) in the middle of what might have become a tool
  call, a thought or a fenced JSON (`<think`, "```js") lacks those last characters: the server
  shows them in plain answers only;
- `logprobs` lacks the tokens that no chunk shows: the end of the text, the marks around a thought;
- with `verbose: true`, `__verbose` is that of the last chunk: of its `content` nothing is left.

Not the same at all, and therefore asked for plainly, deaf to hang-ups as it is: `logprobs` with
`tools`, which the server refuses in streams; and an answer that goes on from a last message of
the assistant's, which a plain answer repeats in front and a stream does not. A llama.cpp from
before May 2025 refuses any tools in a stream: such a node is told as kind `openai`.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from dpl_router.conversation import Api, ChatRequest
from dpl_router.errors import DplError, RequestRefused
from dpl_router.listing import Listed
from dpl_router.loose_json import MALFORMED
from dpl_router.upstreams.assembled import Assembled, AssembledText
from dpl_router.upstreams.base import Decoder, Head, Request
from dpl_router.upstreams.calls import JSON, SSE, media_type
from dpl_router.upstreams.complaint import complaint
from dpl_router.upstreams.llamacpp_listing import listed_of
from dpl_router.upstreams.openai import OpenAiDialect, as_stream


class _Message(msgspec.Struct):
    role: Any = None


class _Asked(msgspec.Struct):
    messages: list[_Message] = []
    tools: Any = None
    tool_choice: Any = None
    logprobs: Any = None


_ASKED = msgspec.json.Decoder(_Asked)

AS_STREAM: Mapping[Api, Callable[[Decoder], Decoder]] = {
    "openai.chat": Assembled,
    "openai.completion": AssembledText,
}
"""What puts a stream together again, where client and node speak one protocol."""
TURNED: frozenset[Api] = frozenset({"ollama.chat", "ollama.generate"})
"""In translation a plain answer is made of events, however they came."""
CHATS: frozenset[Api] = frozenset({"openai.chat", "ollama.chat"})

THE_REQUESTS = re.compile(
    r"^'\w+' is required|^\w+ input is not supported|^Failed to parse (tools|messages)"
)
"""What it says with a 500 that the same request would get from any server. A 501, as for reranking,
is the node's: another may have been started with it."""


class LlamaCppDialect:
    """One for each node: it knows whose template has no tools. `clock` as of `OpenAiDialect`."""

    name = "llamacpp"
    looks: Sequence[Request] = (
        *OpenAiDialect.looks,
        Request("GET", "/props", headers={"Accept": JSON}),
    )

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._openai = OpenAiDialect(clock)
        self._toolless: frozenset[str] = frozenset()

    def request(self, call: ChatRequest, model: str) -> Request:
        """Raises: RequestRefused, where the server would leave the call's tools out unsaid."""
        if model in self._toolless and call.api in CHATS and wants_tools(call):
            raise RequestRefused(f"{call.model or model} does not support tools")
        if not call.stream and streamable(call):
            if call.api in AS_STREAM:
                call = as_stream(call, model)
            elif call.api in TURNED:
                call = replace(call, stream=True)
        return self._openai.request(call, model)

    def second(self, call: ChatRequest, model: str, head: Head, body: bytes) -> Request | None:
        return None

    def decoder(self, call: ChatRequest, model: str, head: Head) -> Decoder:
        """As the head says what came: not every plain call was asked for as a stream."""
        together = AS_STREAM.get(call.api)
        if call.stream or together is None or media_type(head) != SSE:
            return self._openai.decoder(call, model, head)
        streamed = replace(call, stream=True, wants_usage=True)
        return together(self._openai.decoder(streamed, model, head))

    def refusal(self, head: Head, body: bytes) -> DplError:
        if head.status == 500 and (why := complaint(body)) and THE_REQUESTS.search(why):
            return RequestRefused(why, 400)
        return self._openai.refusal(head, body)

    def read_models(self, bodies: Sequence[bytes | None]) -> Sequence[Listed]:
        plain = self._openai.read_models(bodies[:1])
        listed = listed_of(plain, bodies[0] or b"", bodies[1] if len(bodies) > 1 else None)
        can = {one.name: one.details.get("capabilities") for one in listed}
        self._toolless = frozenset(
            name for name, words in can.items() if words is not None and "tools" not in words
        )
        return listed


def streamable(call: ChatRequest) -> bool:
    """A stream tells what a plain answer to `call` would tell. Both protocols say so alike."""
    try:
        asked = _ASKED.decode(call.body)
    except MALFORMED:
        return True  # the server refuses it in either form
    if asked.messages and asked.messages[-1].role == "assistant":
        return False
    return not (asked.logprobs and asked.tools)


def wants_tools(call: ChatRequest) -> bool:
    """Tools are given, and may be called. Both protocols say so alike."""
    try:
        asked = _ASKED.decode(call.body)
    except MALFORMED:
        return False
    return bool(asked.tools) and asked.tool_choice != "none"
