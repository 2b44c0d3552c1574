"""GET /api/leases: who holds which node, as the exporters say it."""

import json
from pathlib import Path

from tests.exporter.process import running as exporter_of
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Node, running_router
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
                        ann, bob, *silent = (await client.get("/api/leases")).json()
                        exporter.call("POST", "/unlock", b'{"force": true}')
                        free = (await client.get("/api/leases")).json()

    assert (ann["node"], ann["owner"], ann["slots"], ann["exclusive"]) == ("held", "ann", 1, False)
    assert (bob["owner"], bob["slots"], bob["problem"]) == ("bob", 2, None)
    assert 0 < ann["expires_in"] <= 60
    assert [(each["node"], each["problem"], each["owner"]) for each in silent] == [
        ("gone", "unreachable", None),
        ("shut", "refused", None),
        ("bare", "no exporter", None),
    ]
    assert free == silent
