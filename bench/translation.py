"""What an event of a stream costs to check, and to say in the other protocol: CPU, in microseconds,
and as a ratio to passing on the same pieces unread. `python -m bench.translation`; `make bench`
prints it as well.
"""

from collections.abc import Callable, Sequence
from time import process_time

from dpl_router.conversation import Api, ChatRequest, Piece
from dpl_router.dispatch.wire import joined
from dpl_router.upstreams.base import Dialect, Head
from dpl_router.upstreams.ollama import OllamaDialect
from dpl_router.upstreams.openai import OpenAiDialect

EVENTS = 2_000
ROUNDS = 7
BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}'
WAYS: Sequence[tuple[str, Api, Callable[[], Dialect]]] = (
    ("OpenAI client, OpenAI node", "openai.chat", OpenAiDialect),
    ("Ollama client, Ollama node", "ollama.chat", OllamaDialect),
    ("OpenAI client, Ollama node", "openai.chat", OllamaDialect),
    ("Ollama client, OpenAI node", "ollama.chat", OpenAiDialect),
)


def openai_stream() -> list[bytes]:
    top = b'"id":"x","object":"chat.completion.chunk","created":7,"model":"m"'
    chunk = b'data: {%b,"choices":[{"index":0,"delta":{%b},"finish_reason":%b}]}\n\n'
    words = [chunk % (top, b'"content":" word%d"' % number, b"null") for number in range(EVENTS)]
    first = chunk % (top, b'"role":"assistant","content":""', b"null")
    return [first, *words, chunk % (top, b"", b'"stop"'), b"data: [DONE]\n\n"]


def ollama_stream() -> list[bytes]:
    line = b'{"model":"m","created_at":"2026-11-26T00:00:00Z","message":{"role":"assistant",'
    words = [line + b'"content":" word%d"},"done":false}\n' % number for number in range(EVENTS)]
    end = b'"content":""},"done":true,"done_reason":"stop","eval_count":9,"eval_duration":9}\n'
    return [*words, line + end]


def measured(api: Api, make: Callable[[], Dialect]) -> tuple[float, float]:
    """Seconds for one event: checked and worded, and unread."""
    ours = make is OpenAiDialect
    parts = openai_stream() if ours else ollama_stream()
    media = "text/event-stream" if ours else "application/x-ndjson"
    head = Head(200, {"content-type": media})
    best = unread = float("inf")
    for _ in range(ROUNDS):
        call = ChatRequest("r", "m", BODY, True, False, 1, api=api)
        decoder, out, began = make().decoder(call, "m", head), [], process_time()
        for part in parts:
            out.append(joined(decoder.feed(part)))
        best = min(best, process_time() - began)
        assert b"word1999" in b"".join(out)
        out, began = [], process_time()
        for part in parts:
            pieces: Sequence[Piece] = [(None, part)]  # type: ignore[list-item] # never looked at
            out.append(joined(pieces))
        unread = min(unread, process_time() - began)
    return best / EVENTS, unread / EVENTS


def lines() -> list[str]:
    table = [f"{'checking an event, µs of CPU':33}{'checked':>10}{'unread':>10}{'×':>8}"]
    for name, api, make in WAYS:
        checked, unread = measured(api, make)
        table.append(f"{name:33}{checked * 1e6:10.2f}{unread * 1e6:10.2f}{checked / unread:8.1f}")
    return table


if __name__ == "__main__":
    print("\n".join(lines()))
