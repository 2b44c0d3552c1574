"""A fleet in one program: the exporters of N nodes, a vLLM, a router, and who they are.

    python -m tests.fakes.fleet --nodes 20 --port 0 --seed 1

It prints `ready 127.0.0.1:PORT` when it answers. `/sd/JOB` is Prometheus' http_sd with a job per
kind (`dpl-exporter`, `dpl-router`, `vllm`; any other job is empty), `/NODE/metrics` the page of
an exporter, `/NODE/vllm/metrics` that of its engine, `/NODE/v1/models` what its LLM server lists,
`/router/metrics` the page of the router.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.fakes import fleet_engine, fleet_exporter, fleet_router, fleet_values
from tests.fakes.fleet_laws import Page
from tests.fakes.fleet_nodes import Box, fleet

TEXT = "text/plain; version=0.0.4; charset=utf-8"
LONGEST_HEAD = 65536

Answer = tuple[str, bytes]
"""(content type, body)."""


class Fleet:
    """All pages, made at the start; answers by the path."""

    def __init__(self, boxes: Sequence[Box], began: float) -> None:
        """`began`: seconds since 1970."""
        self._boxes = boxes
        self._began = began
        self._pages: dict[str, Page] = {}
        self._lists: dict[str, bytes] = {}
        for box in boxes:
            names = [{"id": model.name} for model in box.machine.installed]
            self._lists[f"/{box.name}/v1/models"] = json.dumps({"data": names}).encode()
            law_of = fleet_values.laws(box, began)
            self._pages[f"/{box.name}/metrics"] = Page(fleet_exporter.template(box), law_of)
            if box.kind == "vllm":
                engine = Page(fleet_engine.template(box), fleet_engine.laws(box))
                self._pages[f"/{box.name}/vllm/metrics"] = engine
        self._router = fleet_router.pages(boxes, began)

    def answer(self, path: str, accept: str, here: str) -> Answer | None:
        """None: there is no such page. `here`: our own host and port."""
        t = time.time() - self._began
        if path.startswith("/sd/"):
            return "application/json", json.dumps(self._targets(path[4:], here)).encode()
        if path == "/router/metrics":
            asked = fleet_router.OPENMETRICS
            wanted = asked if asked in accept else "text/plain"
            [kind] = [kind for kind in self._router if kind.startswith(wanted)]
            return kind, self._router[kind].write(t)
        if path in self._lists:
            return "application/json", self._lists[path]
        page = self._pages.get(path)
        return (TEXT, page.write(t)) if page is not None else None

    def _targets(self, job: str, here: str) -> list[dict[str, Any]]:
        if job == "dpl-router":
            return [_target(here, "/router/metrics", {"instance": "router"})]
        if job == "dpl-exporter":
            return [
                _target(
                    here,
                    f"/{box.name}/metrics",
                    {"node": box.name, "instance": f"{box.name}:8001"},
                )
                for box in self._boxes
            ]
        return [
            _target(
                here,
                f"/{box.name}/{job}/metrics",
                {"node": box.name, "instance": f"{box.name}:8000", "backend": job},
            )
            for box in self._boxes
            if job == box.kind == "vllm"
        ]


def _target(here: str, path: str, labels: Mapping[str, str]) -> dict[str, Any]:
    return {"targets": [here], "labels": {**labels, "__metrics_path__": path}}


class Link(asyncio.Protocol):
    """One connection; GET is all that it knows, one request after the other."""

    def __init__(self, answer: Callable[[str, str, str], Answer | None]) -> None:
        self._answer = answer
        self._kept = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._kept += data
        while b"\r\n\r\n" in self._kept:
            head, _, self._kept = self._kept.partition(b"\r\n\r\n")
            self._transport.write(self._respond(head.decode("latin-1")))
        if len(self._kept) > LONGEST_HEAD:
            self._transport.abort()

    def _respond(self, head: str) -> bytes:
        request, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in map(_halves, lines)}
        path = request.split(" ")[1].partition("?")[0]
        found = self._answer(path, headers.get("accept", ""), headers.get("host", ""))
        status = "200 OK" if found is not None else "404 Not Found"
        kind, body = found or ("text/plain", b"no such page\n")
        return (
            f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode() + body


def _halves(line: str) -> tuple[str, str, str]:
    return line.partition(":")


async def serve(made: Fleet, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Link(made.answer), "127.0.0.1", port)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"ready {host}:{port}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="fleet", description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    made = Fleet(fleet(given.nodes, given.seed), time.time())
    try:
        asyncio.run(serve(made, given.port))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
