"""The status side of an LLM server: answers to GET (and POST /api/show) that a test sets.

The bodies are those of real servers (`tests/recordings`). Faults are set, not patched: a path can
be removed, answer anything, or be silent.
"""

import http.server
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

RECORDINGS = Path(__file__).parents[1] / "recordings"
JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Said:
    """One answer; `after` seconds of silence come before it."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    after: float = 0.0


def recorded(name: str, **more: object) -> Said:
    return Said((RECORDINGS / name).read_bytes(), **more)  # type: ignore[arg-type]


def say(document: object, status: int = 200) -> Said:
    return Said(json.dumps(document).encode(), status)


@dataclass
class StatusServer:
    """A running fake. Change `answers` at any time; `asked` lists what came, in order."""

    url: str
    answers: dict[str, Said]
    otherwise: Said
    """The answer to every other path."""
    asked: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


@contextmanager
def status_server(
    answers: Mapping[str, Said], otherwise: Said | None = None
) -> Iterator[StatusServer]:
    """`answers`: path -> answer; for POST `/api/show` the path is `/api/show <model>`."""
    fake = StatusServer("", dict(answers), otherwise or Said(b"404 page not found", 404))

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._say(self.path)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self._say(f"{self.path} {json.loads(body)['model']}")

        def _say(self, path: str) -> None:
            fake.asked.append(path)
            said = fake.answers.get(path, fake.otherwise)
            fake.stopped.wait(said.after)
            self.send_response(said.status)
            self.send_header("Content-Type", said.content_type)
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            self.wfile.write(said.body)

        def log_message(self, format: str, *args: object) -> None:
            return

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A caller whose time is up leaves in the middle: that is the point of some tests."""

    server = Server(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextmanager
def black_hole() -> Iterator[str]:
    """The URL of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def ollama_answers() -> dict[str, Said]:
    """A real Ollama 0.32.15 with nine names, nothing loaded."""
    shown = {
        f"/api/show {path.stem.replace('_', ':')}": recorded(f"ollama/show/{path.name}")
        for path in (RECORDINGS / "ollama" / "show").iterdir()
    }
    return {
        "/api/version": recorded("ollama/version.json"),
        "/api/tags": recorded("ollama/tags.json"),
        "/api/ps": recorded("ollama/ps-empty.json"),
        "/v1/models": say({"object": "list", "data": [{"id": "x", "owned_by": "library"}]}),
        **shown,
    }


def llamacpp_answers() -> dict[str, Said]:
    """A real llama-server with two slots, one of them busy."""
    return {
        "/health": say({"status": "ok"}),
        "/props": recorded("llama.cpp/props.json"),
        "/v1/models": recorded("llama.cpp/v1-models.json"),
        "/slots": recorded("llama.cpp/slots-busy.json"),
        "/metrics": recorded("llama.cpp/metrics-busy.txt", content_type="text/plain"),
    }


def vllm_answers() -> dict[str, Said]:
    """A real vLLM 0.32.0, four requests running and three waiting."""
    return {
        "/v1/models": recorded("vllm/v1-models.json"),
        "/version": recorded("vllm/version.json"),
        "/metrics": recorded("vllm/metrics-gauges-busy.txt", content_type="text/plain"),
    }


SGLANG_PAGE = b"""# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="a/b-7b",tp_rank="0"} 3.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{model_name="a/b-7b",tp_rank="0"} 2.0
# TYPE sglang:token_usage gauge
sglang:token_usage{model_name="a/b-7b",tp_rank="0"} 0.25
"""


def sglang_answers() -> dict[str, Said]:
    """Written from its documentation, with the names and labels that 0.5.10 gives its series."""
    return {
        "/v1/models": say(
            {"data": [{"id": "a/b-7b", "owned_by": "sglang", "max_model_len": 2048}]}
        ),
        "/get_server_info": say({"version": "0.5.10", "max_running_requests": 48}),
        "/metrics": Said(SGLANG_PAGE, content_type="text/plain"),
    }


def lmstudio_answers() -> dict[str, Said]:
    """Written from its documentation: it lists what is on disk, loaded or not."""
    return {
        "/v1/models": say(
            {"object": "list", "data": [{"id": "chat-12b"}, {"id": "vision-8b"}]},
        ),
        "/api/v0/models": say(
            {
                "object": "list",
                "data": [
                    {
                        "id": "chat-12b",
                        "arch": "llama",
                        "quantization": "Q4_K_M",
                        "state": "loaded",
                        "max_context_length": 131072,
                        "loaded_context_length": 4096,
                    },
                    {"id": "vision-8b", "state": "not-loaded", "max_context_length": 32768},
                ],
            }
        ),
    }


LMSTUDIO_OTHERWISE = say({"error": "Unexpected endpoint or method. (GET /anything)"})
