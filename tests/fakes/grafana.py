"""Stands for Grafana where there is none: reads its provisioning, or ends and says why not.

    python -m tests.fakes.grafana      # GF_… and the folders as in Grafana's own image

Answers, with the admin's password, `/api/dashboards/home`, `/api/datasources`, `/api/search` and
`/api/datasources/proxy/uid/UID/…`, which asks the data source; without it `/api/health`. Needs
PyYAML and nothing else, since it runs in a container of its own.
"""

import base64
import http.server
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.fakes.grafana_files import Board, Refused, Source, board, boards, setting, sources

PROXY = "/api/datasources/proxy/uid/"
ANSWER = 10.0
"""Seconds that a data source may take."""


class Grafana(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], provisioning: Path, data: Path) -> None:
        """Raises: Refused; OSError where the data folder cannot be written."""
        self.sources: list[Source] = sources(provisioning, os.environ)
        self.boards: list[Board] = boards(provisioning, os.environ)
        self.home = board(Path(setting("GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH")), "")
        password = setting("GF_SECURITY_ADMIN_PASSWORD", default="admin")
        if password == "admin":
            raise Refused("the admin's password is the one that everybody knows")
        self.admitted = "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()
        (data / "grafana.db").touch()
        super().__init__(address, Door)


class Door(http.server.BaseHTTPRequestHandler):
    server: Grafana

    def do_GET(self) -> None:
        if self.path == "/api/health":
            self.answer(200, {"database": "ok"})
        elif self.headers["authorization"] != self.server.admitted:
            self.answer(401, {"message": "Unauthorized"})
        elif self.path.startswith(PROXY):
            self.answer(*self.asked(*self.path.removeprefix(PROXY).split("/", 1)))
        else:
            found = self.page()
            self.answer(404 if found is None else 200, found)

    def page(self) -> Any:
        if self.path == "/api/dashboards/home":
            return {"dashboard": self.server.home.document}
        if self.path == "/api/datasources":
            found = self.server.sources
            return [{"uid": each.uid, "url": each.url, "isDefault": each.default} for each in found]
        if self.path == "/api/search":
            return [{"uid": each.uid, "folderTitle": each.folder} for each in self.server.boards]
        return None

    def asked(self, uid: str, path: str) -> tuple[int, Any]:
        urls = [each.url for each in self.server.sources if each.uid == uid]
        try:
            with urllib.request.urlopen(f"{urls[0]}/{path}", timeout=ANSWER) as answer:
                return answer.status, json.load(answer)
        except (IndexError, urllib.error.URLError, ValueError) as error:
            return 502, {"message": str(error)}

    def answer(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        return


def main() -> int:
    try:
        server = Grafana(
            ("0.0.0.0", 3000), Path("/etc/grafana/provisioning"), Path("/var/lib/grafana")
        )
    except (Refused, OSError) as error:
        print(f"grafana: {error}", file=sys.stderr)
        return 1
    # the first process of a container ends by no signal that it does not ask for
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    with server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
