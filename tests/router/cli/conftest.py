"""The command as people run it, and a server that says what a test wants."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


class Scripted:
    """Answers every request alike, or by path; keeps what was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b"[]"
        self.bodies: dict[str, bytes] = {}
        """By path, where one is answered in another way."""
        self.turns: dict[str, list[bytes | None]] = {}
        """By path: one after the other, and the last for ever. None: hangs up without a word."""
        self.asked: list[tuple[str, Mapping[str, str], bytes]] = []
        script = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                fields = {name.lower(): value for name, value in self.headers.items()}
                script.asked.append((self.path, fields, self.rfile.read(length)))
                said = script.said(self.path)
                if said is None:
                    self.close_connection = True
                    return
                self.send_response(script.status)
                for name, value in script.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def said(self, path: str) -> bytes | None:
        if turns := self.turns.get(path):
            return turns.pop(0) if len(turns) > 1 else turns[0]
        return self.bodies.get(path, self.body)


@pytest.fixture
def router() -> Iterator[Scripted]:
    scripted = Scripted()
    thread = threading.Thread(target=scripted.server.serve_forever)
    thread.start()
    yield scripted
    scripted.server.shutdown()
    thread.join()
    scripted.server.server_close()


@pytest.fixture
def dpl() -> Run:
    """`dpl(…)` in a shell without settings of ours; `url` goes where the settings go."""

    def run(
        *arguments: str, url: str | None = None, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DPL_")}
        if url:
            settings["DPL_URL"] = url
        return subprocess.run(
            [sys.executable, "-m", "dpl_router", *arguments],
            env={**clean, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
