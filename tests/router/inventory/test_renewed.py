"""A certificate or a key that is renewed in its file counts without a restart."""

import json
import ssl
from pathlib import Path

from tests.exporter.certificates import self_signed
from tests.fakes.router import running_router, until
from tests.fakes.wire import Peer, served

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
