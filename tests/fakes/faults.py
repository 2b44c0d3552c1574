"""What can go wrong with a fake LLM server, and what it saw."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal, cast

Place = Literal["", "before_head", "after_head", "after_tokens"]


@dataclass(frozen=True)
class Faults:
    """What goes wrong with the next `times` calls for an answer (None: with all)."""

    status: int = 0
    """Answer with this instead, with `body` and `retry_after`."""
    body: str = ""
    """"": an error in the server's own shape."""
    retry_after: str = ""
    content_type: str = ""
    """Instead of the true one."""
    raw: str = ""
    """The whole body of a 200, as it is (Latin-1: any bytes)."""
    garbage: bool = False
    """No HTTP at all."""
    head_delay: float = 0.0
    """Seconds; likewise the others. Real servers send no head before their first token."""
    first_delay: float = 0.0
    """Before the first token; at a server that sends its head earlier, after the head."""
    token_delay: float = 0.0
    die: Place = ""
    """Cut the connection there; after `after` tokens."""
    hang: Place = ""
    """Say nothing more from there on; the connection stays open."""
    after: int = 1
    reset: bool = True
    """Die by RST; else by FIN (in a chunked body: still a cut)."""
    clean_cut: bool = False
    """With die: end the HTTP message properly, as an Ollama whose runner was killed does."""
    no_done: bool = False
    """No last word: no `data: [DONE]`, no line with `done: true`."""
    error_after: int = -1
    """An error event or line after so many tokens, then a clean end, as of a killed runner. An
    Ollama answers a plain call with a 500 then."""
    torn: bool = False
    """With die or hang after tokens: half of the next event goes out before."""
    garbage_after: int = -1
    """A line that is no JSON after so many tokens; then it goes on."""
    endless_after: int = -1
    """A line that never ends after so many tokens."""
    drip: float = -1.0
    """Write byte by byte, so many seconds apart (0.0: as fast as it goes)."""
    split: int = 0
    """Write so many bytes at a time instead, `drip` seconds apart."""
    crlf: bool = False
    """The lines of a stream end with CR LF."""
    bare: bool = False
    """U+2028 and U+2029 stand in a stream as they are; a real Ollama escapes them."""
    deaf: bool = False
    """Write a plain answer to its end though the client left, as a real llama.cpp does."""
    close_after_answer: bool = False
    """Announce keep-alive and close the connection all the same."""
    everywhere: bool = False
    """Faults hit the lists of models, /health and the others too."""
    times: int | None = None


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    version: str = "1.1"
    """Of HTTP."""
    keep: bool = True
    """The client wants to keep the connection."""

    @property
    def route(self) -> str:
        return self.path.partition("?")[0]

    @property
    def json(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self.body))


@dataclass
class State:
    """What happened so far; written by the server's thread, read by the test."""

    requests: list[Seen] = field(default_factory=list)
    open: int = 0
    running: int = 0
    finished: list[float] = field(default_factory=list)
    hang_ups: list[float] = field(default_factory=list)
    connections: int = 0
    accepted: int = 0
    prompt_tokens: int = 0
    predicted_tokens: int = 0
