"""Every client against every node: the same answer, whatever is spoken on either side.

A cell is {client} x {node} x {call} x {stream, plain} x {feature}; in each the node's bytes come
whole and cut at 1, 3 and 7 bytes, with LF and with CRLF.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from dpl_router.conversation import Api, ChatRequest, Done, Piece
from dpl_router.upstreams.base import Dialect, Head, Request
from dpl_router.upstreams.ollama import OllamaDialect
from dpl_router.upstreams.openai import OpenAiDialect
from tests.fakes.taken import taken
from tests.router.translation import said as words
from tests.router.translation.said import LOGPROBS, Heard, Said, Tool

Node = Literal["openai", "ollama", "ollama without /api/chat"]
NODES: Sequence[Node] = ("openai", "ollama", "ollama without /api/chat")
ODD = ("a\u2028b\u2029", "c\x85d", "e\x0bf\x0cg", "h\r\ni\n\nj", "\U0001f600ü", 'k"\\{}')
TEXTS: dict[str, Said] = {
    "text": Said(),
    "odd text": Said(ODD),
    "one token": Said(("Hi",), completion_tokens=1),
    "cut by length": Said(finish="length"),
    "logprobs": Said(logprobs=LOGPROBS),
}
CHATS: dict[str, Said] = {
    **TEXTS,
    "thinking": Said(thoughts=("Let", " me", " see")),
    "thinking only": Said((), ("Hm\u2028",), finish="length"),
    "a tool": Said((), tools=(Tool("weather", {"city": "Paris"}, "call_a"),)),
    "three tools": Said(
        ("Wait.",),
        tools=(
            Tool("weather", {"city": "Oslo\u2028"}, "call_a"),
            Tool("time", {}),
            Tool("weather", {"city": "Rome"}),
        ),
    ),
}
VECTORS = Said(vectors=((0.5, -1.0), (0.25, 2.0)), completion_tokens=0)


@dataclass(frozen=True)
class Cell:
    api: Api
    node: Node
    stream: bool
    feature: str
    said: Said

    @property
    def name(self) -> str:
        mode = "stream" if self.stream else "plain"
        return f"{self.api} from {self.node}, {mode}: {self.feature}"


def cells() -> list[Cell]:
    chats: Sequence[Api] = ("openai.chat", "ollama.chat")
    texts: Sequence[Api] = ("openai.completion", "ollama.generate")
    kinds = [*itertools.product(chats, CHATS.items()), *itertools.product(texts, TEXTS.items())]
    return [
        Cell(api, node, stream, feature, said)
        for (api, (feature, said)), node, stream in itertools.product(kinds, NODES, (True, False))
        if not (said.tools and node == "ollama without /api/chat")
    ]


CELLS = cells()
CUTS = (0, 1, 3, 7)


def client_body(api: Api, stream: bool, **more: Any) -> bytes:
    asked: dict[str, Any] = {"model": "mine", "stream": stream}
    if api in ("openai.chat", "ollama.chat"):
        asked["messages"] = [{"role": "user", "content": "Hi"}]
    elif api in ("openai.completion", "ollama.generate"):
        asked["prompt"] = "Hi"
    else:
        asked["prompt" if api == "ollama.embeddings" else "input"] = "Hi"
    return json.dumps({**asked, **more}).encode()


def call_of(api: Api, stream: bool, **more: Any) -> ChatRequest:
    body = client_body(api, stream, **more)
    return ChatRequest("r1", "mine", body, stream, wants_usage=True, prompt_tokens=2, api=api)


def asked_of(dialect: Dialect, node: Node, call: ChatRequest) -> Request:
    """The request that such a node answers with 200."""
    request = dialect.request(call, "node-m")
    if node == "ollama without /api/chat" and request.path == "/api/chat":
        missing = Head(404, {"content-type": "text/plain"})
        second = dialect.second(call, "node-m", missing, b"404 page not found")
        assert second is not None
        return second
    return request


def answer_of(request: Request, said: Said) -> tuple[str, bytes]:
    """(content type, body) as the node answers `request`."""
    asked = json.loads(request.body)
    assert asked["model"] == "node-m"
    stream = bool(asked.get("stream"))
    match request.path:
        case "/v1/chat/completions":
            body = words.openai_chat(said, stream=stream)
        case "/v1/completions":
            body = words.openai_completion(said, stream=stream)
        case "/v1/embeddings":
            wanted = asked.get("encoding_format") == "base64"
            body = words.openai_embeddings(said, base64_wanted=wanted)
        case "/api/chat" | "/api/generate":
            body = words.ollama_answer(said, stream=stream, chat=request.path == "/api/chat")
        case _:
            body = words.ollama_embeddings(said, single=request.path == "/api/embeddings")
    if not stream:
        return "application/json; charset=utf-8", body
    openai = request.path.startswith("/v1")
    return "text/event-stream" if openai else "application/x-ndjson", body


def pieces_of(
    dialect: Dialect, call: ChatRequest, media: str, data: bytes, cut: int
) -> list[Piece]:
    decoder = dialect.decoder(call, "node-m", Head(200, {"content-type": media}))
    size = cut or len(data)
    pieces: list[Piece] = []
    for at in range(0, len(data), size):
        if pieces and isinstance(pieces[-1][0], Done):
            break  # as an attempt does
        pieces += taken(decoder.feed(data[at : at + size]))
    if not pieces or not isinstance(pieces[-1][0], Done):
        pieces += taken(decoder.end())
    return pieces


def client_gets(
    dialect: Dialect, call: ChatRequest, media: str, data: bytes, cut: int = 0
) -> Heard:
    pieces = pieces_of(dialect, call, media, data, cut)
    assert [isinstance(event, Done) for event, _ in pieces].index(True) == len(pieces) - 1
    return words.heard(call.api, b"".join(raw or b"" for _, raw in pieces), stream=call.stream)


def dialect_of(node: Node) -> Dialect:
    return OpenAiDialect(lambda: 1e9) if node == "openai" else OllamaDialect(lambda: 1e9)


def wanted_finish(api: Api, said: Said) -> str:
    tool = api.startswith("openai") and said.tools and said.finish == "stop"
    return "tool_calls" if tool else said.finish


def test_the_matrix_has_its_hundred_cells() -> None:
    assert len(CELLS) >= 100
    assert len({cell.name for cell in CELLS}) == len(CELLS)


@pytest.mark.parametrize("crlf", [False, True], ids=["lf", "crlf"])
@pytest.mark.parametrize("cell", CELLS, ids=[cell.name for cell in CELLS])
def test_a_client_hears_what_the_node_says(cell: Cell, crlf: bool) -> None:
    dialect, said = dialect_of(cell.node), cell.said
    more = {"logprobs": 1 if cell.api == "openai.completion" else True} if said.logprobs else {}
    call = call_of(cell.api, cell.stream, **more)
    media, data = answer_of(asked_of(dialect, cell.node, call), said)
    if crlf:
        data = data.replace(b"\n", b"\r\n")

    for cut in CUTS:
        answer = client_gets(dialect, call, media, data, cut)

        assert answer.text == said.text
        assert answer.thinking == "".join(said.thoughts)
        assert answer.finishes == [wanted_finish(cell.api, said)]
        assert answer.usage == (said.prompt_tokens, said.completion_tokens)
        assert answer.models == {"mine"}
        assert answer.logprobs == [(one["token"], one["logprob"]) for one in said.logprobs]
        tools = words.finished(answer.tools)
        assert [tool.index for tool in tools] == list(range(len(tools)))
        assert [(tool.name, tool.arguments) for tool in tools] == [
            (tool.name, tool.arguments) for tool in said.tools
        ]
        assert [tool.id for tool in tools if tool.id == "call_a"] == [
            tool.id for tool in said.tools if tool.id
        ]


EMBEDS: Sequence[Api] = ("openai.embedding", "ollama.embed", "ollama.embeddings")


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("api", EMBEDS)
def test_embeddings_come_in_the_order_of_their_inputs(api: Api, node: Node, cut: int) -> None:
    dialect = dialect_of(node)
    call = call_of(api, stream=False)
    media, data = answer_of(asked_of(dialect, node, call), VECTORS)

    answer = client_gets(dialect, call, media, data, cut)

    vectors = [list(vector) for vector in VECTORS.vectors]
    assert answer.vectors == (vectors[:1] if api == "ollama.embeddings" else vectors)
    assert answer.models <= {"mine"}
    if api == "openai.embedding":
        assert answer.usage == (9, 0)
    if api == "ollama.embed":
        assert answer.last["prompt_eval_count"] == 9


@pytest.mark.parametrize("node", NODES)
def test_base64_is_spelt_as_openais_clients_read_it(node: Node) -> None:
    dialect = dialect_of(node)
    call = call_of("openai.embedding", stream=False, encoding_format="base64")
    media, data = answer_of(asked_of(dialect, node, call), VECTORS)

    answer = client_gets(dialect, call, media, data)

    assert answer.vectors == [words.spelt(vector) for vector in VECTORS.vectors]


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("api", ["openai.chat", "openai.completion"])
def test_usage_is_stripped_unless_asked_for(api: Api, node: Node) -> None:
    dialect = dialect_of(node)
    call = call_of(api, stream=True)
    call.wants_usage = False
    media, data = answer_of(asked_of(dialect, node, call), Said())

    pieces = pieces_of(dialect, call, media, data, 0)

    assert words.heard(api, b"".join(raw or b"" for _, raw in pieces), stream=True).usage is None
    assert isinstance(pieces[-1][0], Done)
    assert pieces[-1][0].usage is not None


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "templated"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
def test_a_prompt_that_no_template_may_touch_goes_to_completions(stream: bool, raw: bool) -> None:
    dialect = dialect_of("openai")
    call = call_of("ollama.generate", stream, raw=raw)
    request = dialect.request(call, "node-m")
    media, data = answer_of(request, Said(ODD))

    assert request.path == ("/v1/completions" if raw else "/v1/chat/completions")
    for cut in CUTS:
        assert client_gets(dialect, call, media, data, cut).text == "".join(ODD)
