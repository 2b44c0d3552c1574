"""Who may do what, at the wire: keys, roles, hosts and browsers."""

import hashlib
from pathlib import Path

import pytest
import yaml

from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import running_router, until

DEAD = "http://127.0.0.1:9"
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}


def keys_file(path: Path, **roles: str) -> Path:
    """keys.yaml where each key is its own name."""
    keys = [
        {"name": name, "role": role, "sha256": hashlib.sha256(name.encode()).hexdigest()}
        for name, role in roles.items()
    ]
    path.write_text(yaml.safe_dump({"keys": keys}))
    return path


@pytest.mark.parametrize(
    ("method", "path", "least"),
    [
        ("GET", "/api/status/all", "viewer"),
        ("GET", "/api/cluster/overview", "viewer"),
        ("GET", "/api/models", "viewer"),
        ("GET", "/api/leases", "viewer"),
        ("GET", "/metrics", "viewer"),
        ("GET", "/sd/prometheus/dpl-exporter", "viewer"),
        ("GET", "/v1/models", "user"),
        ("POST", "/v1/chat/completions", "user"),
        ("POST", "/api/chat/completions", "user"),
        ("POST", "/api/unlock/all", "operator"),
        ("POST", "/alertmanager/heartbeat", "operator"),
    ],
)
async def test_each_door_wants_its_role(tmp_path: Path, method: str, path: str, least: str) -> None:
    order = ["viewer", "user", "operator"]
    file = keys_file(tmp_path / "keys.yaml", viewer="viewer", user="user", operator="operator")
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path, keys_file=file) as router:
            statuses = {}
            for key in (None, "wrong", *order):
                async with router.client(key) as client:
                    body = CHAT if "chat" in path else None
                    statuses[key] = (await client.request(method, path, json=body)).status_code

    assert statuses[None] == 401
    assert statuses["wrong"] == 401
    for role in order:
        allowed = order.index(role) >= order.index(least)
        assert (statuses[role] < 300) is allowed, (role, statuses)
        assert allowed or statuses[role] == 403


async def test_a_refused_key_is_told_in_the_envelope_of_the_path(tmp_path: Path) -> None:
    file = keys_file(tmp_path / "keys.yaml", me="user")
    async with running_router({"a": DEAD}, folder=tmp_path, keys_file=file) as router:
        async with router.client("wrong") as client:
            openai = await client.post("/v1/chat/completions", json=CHAT)
            page = await client.get("/metrics", headers={"accept": "text/html"})

    assert openai.json()["error"]["code"] == "invalid_api_key"
    assert openai.headers["www-authenticate"] == "Bearer"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "this key is not known here" in page.text


async def test_a_revoked_key_stops_working_without_a_restart(tmp_path: Path) -> None:
    file = keys_file(tmp_path / "keys.yaml", old="viewer", new="viewer")
    async with running_router({"a": DEAD}, folder=tmp_path, keys_file=file) as router:
        async with router.client("old") as client:
            before = (await client.get("/api/status/all")).status_code
            keys_file(file, new="viewer")

            async def revoked() -> bool:
                return (await client.get("/api/status/all")).status_code == 401

            await until(revoked, seconds=5)

    assert before == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example"])
async def test_a_foreign_host_name_is_refused(tmp_path: Path, host: str) -> None:
    """A page that made its own name resolve to us (DNS rebinding) calls so."""
    async with running_router({"a": DEAD}, folder=tmp_path) as router:
        async with router.client() as client:
            answer = await client.get("/api/status/all", headers={"host": host})

    assert answer.status_code == 403
    assert "allowed_hosts" in answer.json()["detail"]


async def test_a_foreign_page_cannot_act_and_a_page_of_ours_must_prove_itself(
    tmp_path: Path,
) -> None:
    async with running_router({"a": DEAD}, folder=tmp_path) as router:
        async with router.client() as client:
            path, ours = "/api/unlock/all", {"origin": router.url}
            foreign = await client.post(path, headers={"origin": "http://evil.example"})
            unproven = await client.post(path, headers=ours)
            proven = await client.post(path, headers={**ours, "x-csrf": "1"})
            no_browser = await client.post(path)

    assert foreign.status_code == 403
    assert unproven.status_code == 403
    assert proven.status_code == 200
    assert no_browser.status_code == 200


async def test_a_key_may_be_kept_to_some_models(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    digest = hashlib.sha256(b"me").hexdigest()
    key = {"name": "me", "role": "user", "sha256": digest, "models": ["small*"]}
    file.write_text(yaml.safe_dump({"keys": [key]}))
    with FakeOpenAi(model="small:1b") as node:
        async with running_router({"a": node.url}, folder=tmp_path, keys_file=file) as router:
            async with router.client("me") as client:
                named = await client.post(
                    "/v1/chat/completions", json={**CHAT, "model": "small:1b"}
                )
                other = await client.post("/v1/chat/completions", json=CHAT)
                auto = await client.post("/v1/chat/completions", json={**CHAT, "model": "auto"})

    assert named.status_code == 200
    assert other.status_code == 403
    assert auto.status_code == 403
