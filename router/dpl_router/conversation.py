"""The neutral words between client surfaces and node dialects.

A surface turns a client's body into a `ChatRequest`; a dialect turns that into a node's bytes
and the node's bytes into `Event`s; the surface turns events into the client's bytes. Where both
sides speak one protocol the bytes travel beside the event and are passed on as they are.

None is `frozen`, which would cost each event more than the rest of it; all are only read.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class ChatRequest:
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


@dataclass(slots=True)
class Usage:
    """Tokens as the node counted them; None where it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None


@dataclass(slots=True)
class Timings:
    """What the engine itself measured: tokens and seconds; None where it did not say.

    llama.cpp: `timings` of the last chunk. Ollama: `*_duration` of the last record.
    """

    prompt_evaluated: int | None = None
    prompt_seconds: float | None = None
    eval_tokens: int | None = None
    eval_seconds: float | None = None
    load_seconds: float | None = None


@dataclass(slots=True)
class Delta:
    """A piece of the answer. Both texts may be empty (a role chunk)."""

    text: str
    thinking: str = ""
    events: int = 1
    """Of the node: those that came together and differ in their text only are told as one."""


@dataclass(slots=True)
class ToolCall:
    """A piece of a tool call; `arguments` is JSON text that may be cut anywhere."""

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(slots=True)
class Done:
    """The true end of an answer: nothing comes after it."""

    finish: str | None
    usage: Usage | None = None
    timings: Timings | None = None


Event = Delta | ToolCall | Done

Piece = tuple[Event, bytes | None]
"""An event, and its bytes in the client's own protocol, or None where they must be made."""
