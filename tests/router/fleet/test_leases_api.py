"""GET /api/leases: who holds which node, as the exporters say it."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.exporter.process import running as exporter_of
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Node, running_router, until
from tests.fakes.wire import Peer, served


async def test_who_holds_which_node_is_told_and_what_does_not_tell(tmp_path: Path) -> None:
    async def locked_out(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    home = tmp_path / "exporter"
    home.mkdir()
    with FakeOpenAi() as node:
        flags = ("--llm-url", node.url, "--data-dir", str(home), "--slots", "4")
        with exporter_of(home, *flags) as exporter:
            for owner, slots in (("ann", 1), ("bob", 2)):
                wish = {"owner": owner, "ttl_seconds": 60, "slots": slots}
                exporter.call("POST", "/lock", json.dumps(wish).encode())
            async with served(locked_out) as closed:
                nodes: dict[str, Node] = {
                    "held": {"url": node.url, "exporter": exporter.url},
                    "gone": {"url": node.url, "exporter": "http://127.0.0.1:9"},
                    "shut": {"url": node.url, "exporter": closed},
                    "bare": node.url,
                }
                async with running_router(nodes, folder=tmp_path) as router:
                    async with router.client() as client:

                        async def told(rows: int) -> list[dict[str, Any]]:
                            """Half a second may be too little for a busy machine's exporters."""
                            said: list[dict[str, Any]] = (await client.get("/api/leases")).json()
                            late = [row["node"] for row in said if row["problem"] == "unreachable"]
                            return said if late == ["gone"] and len(said) == rows else []

                        ann, bob, *silent = await until(lambda: told(5))
                        exporter.call("POST", "/unlock", b'{"force": true}')
                        free = await until(lambda: told(3))

    assert (ann["node"], ann["owner"], ann["slots"], ann["exclusive"]) == ("held", "ann", 1, False)
    assert (bob["owner"], bob["slots"], bob["problem"]) == ("bob", 2, None)
    assert 0 < ann["expires_in"] <= 60
    assert [(each["node"], each["problem"], each["owner"]) for each in silent] == [
        ("gone", "unreachable", None),
        ("shut", "refused", None),
        ("bare", "no exporter", None),
    ]
    assert free == silent


async def test_what_a_hostile_exporter_tells_of_its_leases_stays_small(tmp_path: Path) -> None:
    long = {"owner": "x" * 60_000 + "\n", "slots": 1, "exclusive": False, "expires_in": 1e308}
    tales: list[list[dict[str, object]]] = [[long] * 3, [{}] * 60_000]
    for told in tales:
        body = json.dumps({"lock": {"holders": told}}).encode()

        async def answer(peer: Peer, body: bytes = body) -> None:
            await peer.request()
            await peer.answer(body)

        async with served(answer) as url:
            nodes: dict[str, Node] = {"a": {"url": "http://127.0.0.1:9", "exporter": url}}
            async with running_router(nodes, folder=tmp_path) as router:
                async with router.client() as client:
                    said = await client.get("/api/leases")

        assert 0 < len(said.json()) <= 100
        assert len(said.content) < 50_000
        assert all(row["expires_in"] <= 366 * 86400 for row in said.json())


async def test_a_silent_exporter_keeps_the_others_leases_from_nobody(tmp_path: Path) -> None:
    async def silent(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(30)

    async with served(silent) as url:
        nodes: dict[str, Node] = {"a": {"url": "http://127.0.0.1:9", "exporter": url}}
        async with running_router(nodes, folder=tmp_path) as router:
            async with router.client() as client, asyncio.timeout(8):
                said = (await client.get("/api/leases")).json()

    assert said[0]["problem"] == "unreachable"
