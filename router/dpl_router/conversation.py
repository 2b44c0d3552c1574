"""The neutral words between client surfaces and node dialects.

A surface turns a client's body into a `ChatRequest`; a dialect turns that into a node's bytes
and the node's bytes into `Event`s. Where both sides speak one protocol the bytes travel beside
the event and are passed on as they are; where they do not, `translation` makes the client's
bytes of the events before they leave the dialect.

Events are made by the thousand, so all are structs, which cost a third of what dataclasses do. What
was handed on is only read, but for `context` and `trace` of a request.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from dpl_router.errors import DplError

Api = Literal[
    "openai.chat",
    "openai.completion",
    "openai.embedding",
    "ollama.chat",
    "ollama.generate",
    "ollama.embed",
    "ollama.embeddings",
    "opaque",
]
"""What the client called, in its own protocol; `opaque`: passed on to `path` unread."""


class ChatRequest(Struct):
    """What a client asked for, as far as the router must know it; the rest stays in `body`."""

    id: str
    """The request id that the client sees in `X-Request-Id`."""
    model: str
    """The name that the client used; empty where the router may choose."""
    body: bytes
    """The client's JSON, checked to be an object, at most 32 MiB."""
    stream: bool
    wants_usage: bool
    """The client asked for a usage chunk (`stream_options.include_usage`)."""
    prompt_tokens: int
    """Estimate: bytes of the messages / 4."""
    max_tokens: int | None = None
    """None: the client set no limit."""
    api: Api = "openai.chat"
    path: str = ""
    """Where an `opaque` call goes, from / on; known to the surface, never made by the caller."""
    content_type: str = "application/json"
    """Of `body`; anything else than JSON is `opaque`."""
    model_at: tuple[int, int] | None = None
    """Of a form: where in `body` the name of the model starts and ends."""
    context: int | None = None
    """The operator's context for this model in tokens; None where nodes.yaml names none."""
    trace: Mapping[str, str] | None = None
    """Headers of W3C Trace Context that go on to the node; None where the client sent none."""
    select: Mapping[str, str] | None = None
    """Labels that the node must have; None: any node will do."""
    arrived: float = field(default_factory=time.time)
    """Seconds since the epoch; Ollama's clients are told how long all of it took."""


class Usage(Struct):
    """Tokens as the node counted them; None where it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    truncated: bool = False
    """The node cut the prompt to its context and said nothing of it."""


class Timings(Struct):
    """What the engine itself measured: tokens and seconds; None where it did not say.

    llama.cpp: `timings` of the last chunk. Ollama: `*_duration` of the last record.
    """

    prompt_evaluated: int | None = None
    prompt_seconds: float | None = None
    eval_tokens: int | None = None
    eval_seconds: float | None = None
    load_seconds: float | None = None


class Delta(Struct):
    """A piece of the answer. Both texts may be empty (a role chunk)."""

    text: str
    thinking: str = ""
    events: int = 1
    """Of the node: those that came together and differ in their text only are told as one."""
    logprobs: Sequence[Any] | None = None
    """As OpenAI's `logprobs.content` has them: {token, logprob, bytes?, top_logprobs?}."""


class ToolCall(Struct):
    """A piece of a tool call; `arguments` is JSON text that may be cut anywhere."""

    index: int
    id: str | None
    name: str | None
    arguments: str


class Done(Struct):
    """The true end of an answer: nothing comes after it."""

    finish: str | None
    usage: Usage | None = None
    timings: Timings | None = None


class Vectors(Struct):
    """Embeddings in the order of their inputs: lists of floats. `Done` follows."""

    vectors: Sequence[Sequence[float]]


class Failed(Struct):
    """The node told, or its bytes showed, that no more of the answer comes; the last event, behind
    others that came with it. What is wrong by itself is raised instead."""

    error: DplError


Event = Delta | ToolCall | Vectors | Done | Failed

Piece = tuple[Event, bytes | None]
"""An event and its bytes in the protocol of the client. None only inside a dialect, where
`translation` has not made them yet."""
