"""A certificate or a key that is renewed in its file counts without a restart."""

import json
import ssl
from pathlib import Path

from structlog.testing import capture_logs

from dpl_router.inventory.files import LARGEST
from tests.exporter.certificates import self_signed
from tests.fakes.router import running_router, until, write_nodes
from tests.fakes.wire import Peer, served
from tests.router.fitted import fitted
from tests.router.inventory.files import mistakes

DEAD = "http://127.0.0.1:9"

MODELS = json.dumps({"object": "list", "data": [{"id": "tiny", "object": "model"}]}).encode()


async def test_a_nodes_new_certificate_and_key_are_taken_up(tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def lists(peer: Peer) -> None:
        while True:
            seen.append(await peer.request())
            await peer.answer(MODELS, b"Content-Type: application/json")

    cert, key = self_signed(tmp_path)
    door = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    door.load_cert_chain(cert, key)
    secret = tmp_path / "secret"
    secret.write_text("old\n")
    async with served(lists, tls=door) as url:
        node = {
            "url": url,
            "kind": "openai",
            "api_key": "file:secret",
            "tls": {"ca": "cert.pem"},
        }
        async with running_router({"a": node}, folder=tmp_path):
            await until(lambda: seen)
            door.load_cert_chain(*self_signed(tmp_path))
            secret.write_text("new\n")
            await until(lambda: b"Bearer new" in seen[-1])

    assert b"Bearer old" in seen[0]


async def test_a_missing_file_that_comes_at_last_is_taken_up(tmp_path: Path) -> None:
    """What the refusal said to do is enough; it is said once."""
    with capture_logs() as logs:
        await missing_and_made(tmp_path)

    refusals = [line["mistakes"] for line in logs if "refused" in line["event"]]
    assert any("certs/cert.pem" in why for why in refusals)
    assert len(refusals) == len(set(refusals))


async def missing_and_made(tmp_path: Path) -> None:
    async with running_router({"a": DEAD}, folder=tmp_path) as router:
        node = {"url": "https://127.0.0.1:9", "tls": {"ca": "certs/cert.pem"}}
        write_nodes(router.nodes_file, {"a": node}, {})

        async def reloaded() -> float:
            return await router.metric("dpl_router_config_last_reload_successful")

        async def refused() -> bool:
            return await reloaded() == 0.0

        async def applied() -> bool:
            return await reloaded() == 1.0

        await until(refused)
        (tmp_path / "made").mkdir()
        self_signed(tmp_path / "made")
        (tmp_path / "made").rename(tmp_path / "certs")
        await until(applied)


async def test_a_renewed_file_of_a_node_leaves_its_lease_alone(tmp_path: Path) -> None:
    """A second one would be asked for beside it, and refused."""
    secret = tmp_path / "secret"
    secret.write_text("old")
    node = {"url": DEAD, "exporter": DEAD, "api_key": "file:secret"}
    async with fitted(tmp_path, {"a": node}) as it:
        before = it.fittings.clients["a"], it.fittings.exporters["a"], it.fittings.slots["a"]
        secret.write_text("new")
        it.write({"a": node}, lease_ttl="40s")
        await it.fittings.reload()
        after = it.fittings.clients["a"], it.fittings.exporters["a"], it.fittings.slots["a"]
        it.write({"a": {**node, "exporter": "http://127.0.0.1:10"}})
        await it.fittings.reload()
        moved = it.fittings.slots["a"]

    assert after[0] is not before[0]
    assert after[1:] == before[1:]
    assert after[2].ttl == 40.0
    assert moved is not after[2]


def test_a_file_that_is_too_large_for_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (LARGEST + 1))
    node = "{name: a, url: 'http://10.0.0.5:1', api_key: 'file:large'}"

    (told,) = mistakes(tmp_path, f"version: 1\nnodes: [{node}]\n")

    assert "nodes[0].api_key" in told
    assert "larger than 1024 KiB" in told
