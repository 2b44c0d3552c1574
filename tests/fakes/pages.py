"""A server of text pages: what exporters and engines tell, from memory."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast


class Shelf(http.server.ThreadingHTTPServer):
    """/NAME answers `text(NAME)`."""

    daemon_threads = True

    def __init__(self, text: Callable[[str], str]) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.text = text


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = cast(Shelf, self.server).text(self.path.strip("/")).encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def served(text: Callable[[str], str]) -> Iterator[str]:
    """host:port of all pages."""
    with Shelf(text) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(5)
