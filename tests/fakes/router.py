"""A whole router in the test's own loop, at the wire: real server, real app, free port.

    async with running_router({"a": node.url}, folder=tmp_path) as router:
        async with router.client() as client:
            answer = await client.post("/v1/chat/completions", json=...)

`router.parts` is what `create_app` made. The nodes file is `router.nodes_file`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from dpl_router.app import Router, create_app
from dpl_router.front.listener import Listener
from dpl_router.inventory.load import load
from dpl_router.security.keys import load_keys
from dpl_router.server import bound
from dpl_router.settings import Address, Settings

Node = str | Mapping[str, Any]


@dataclass(frozen=True)
class Running:
    url: str
    parts: Router
    nodes_file: Path

    def client(self, key: str | None = None) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=20, trust_env=False)

    async def metric(self, line_start: str) -> float:
        """The value of the first series of /metrics that starts so."""
        async with self.client() as client:
            await asyncio.sleep(1.1)  # the page is kept for a second
            page = (await client.get("/metrics")).text
        for line in page.splitlines():
            if line.startswith(line_start):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no series starts with {line_start!r}")


def write_nodes(path: Path, nodes: Mapping[str, Node], router: Mapping[str, Any]) -> None:
    """nodes.yaml from {name: url or fields}; no exporter unless a node names one."""
    listed = []
    for name, node in nodes.items():
        fields = {"url": node} if isinstance(node, str) else dict(node)
        listed.append({"name": name, "exporter": "none", **fields})
    content = {"version": 1, "nodes": listed, "router": dict(router)}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


@asynccontextmanager
async def running_router(
    nodes: Mapping[str, Node],
    *,
    folder: Path,
    router: Mapping[str, Any] | None = None,
    keys_file: Path | None = None,
    api_key: str | None = None,
    **settings: Any,
) -> AsyncIterator[Running]:
    """Ready when every node was asked once. `router` is nodes.yaml's part of that name."""
    nodes_file = folder / "nodes.yaml"
    write_nodes(nodes_file, nodes, router or {})
    door = bound(Address("127.0.0.1", 0))
    told = Settings(
        nodes_file=nodes_file,
        data_dir=folder / "data",
        listen=Address(*door.getsockname()[:2]),
        keys_file=keys_file,
        api_key=api_key,
        **{"poll_interval": 0.2, "check_interval": 0.5, **settings},
    )
    keyring = load_keys(keys_file) if keys_file else None
    parts = create_app(told, load(nodes_file, {}, api_key), keyring)
    listener = Listener(parts.app)
    await listener.start(door, 100)
    running = Running(f"http://{told.listen}", parts, nodes_file)
    try:
        await until(lambda: _ready(running))
        yield running
    finally:
        parts.dispatcher.draining = True  # open event streams end of it
        await asyncio.wait_for(listener.stop(grace=2.0), 10)


async def _ready(running: Running) -> bool:
    try:
        async with running.client() as client:
            return (await client.get("/-/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def until(
    condition: Callable[[], Any | Awaitable[Any]], seconds: float = 10.0, what: str = ""
) -> Any:
    """Wait until `condition` is true, and give what it said."""
    end = time.monotonic() + seconds
    while True:
        said = condition()
        if isinstance(said, Awaitable):
            said = await said
        if said:
            return said
        assert time.monotonic() < end, f"still not so after {seconds:g} s: {what or condition}"
        await asyncio.sleep(0.02)
