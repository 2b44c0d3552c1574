"""A browser signs in with a key, and its cookie counts where only our own pages can send it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Running, running_router, until

PAGE = {"accept": "text/html"}
CSRF = {"x-csrf": "1"}
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}


def keys(**roles: str) -> dict[str, Any]:
    """Key `NAME-key` of each name."""
    return {
        "keys": [
            {
                "name": name,
                "role": role,
                "sha256": hashlib.sha256(f"{name}-key".encode()).hexdigest(),
            }
            for name, role in roles.items()
        ]
    }


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[Running]:
    file = tmp_path / "keys.yaml"
    file.write_text(yaml.safe_dump(keys(ann="viewer", bob="user")))
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path, keys_file=file) as running:
            yield running


async def sign_in(client: httpx.AsyncClient, key: str, **fields: str) -> httpx.Response:
    origin = str(client.base_url).rstrip("/")
    return await client.post("/login", data={"key": key, **fields}, headers={"origin": origin})


async def test_a_browser_that_signed_in_sees_the_pages_until_it_signs_out(router: Running) -> None:
    async with router.client() as client:
        closed = await client.get("/chat", headers=PAGE)
        entered = await sign_in(client, "ann-key", next="/chat")
        cookie = entered.headers["set-cookie"]
        pages = [await client.get(path, headers=PAGE) for path in ("/", "/chat", "/schema")]
        left = await client.post("/logout", headers={"origin": router.url})
        token = cookie.partition("=")[2].partition(";")[0]
        after = await client.get("/", headers={**PAGE, "cookie": f"dpl_session={token}"})

    assert closed.status_code == 401
    assert 'name="next" value="/chat"' in closed.text
    assert (entered.status_code, entered.headers["location"]) == (303, "/chat")
    for word in ("httponly", "samesite=strict", "path=/", "max-age="):
        assert word in cookie.lower()
    assert "secure" not in cookie.lower()
    assert [page.status_code for page in pages] == [200] * 3
    assert "Sign out" in pages[0].text
    assert left.status_code == 303
    assert after.status_code == 401


async def test_the_cookie_of_a_router_behind_tls_leaves_by_tls_only(router: Running) -> None:
    async with router.client() as client:
        headers = {"origin": router.url, "x-forwarded-proto": "https"}
        entered = await client.post("/login", data={"key": "ann-key"}, headers=headers)

    assert "secure" in entered.headers["set-cookie"].lower()


async def test_calls_count_the_cookie_only_with_the_header_of_our_own_pages(
    router: Running,
) -> None:
    async with router.client() as client:
        await sign_in(client, "bob-key")
        bare = await client.post("/api/chat/completions", json=CHAT)
        read = await client.get("/api/status/all")
        sent = await client.post("/api/chat/completions", json=CHAT, headers=CSRF)
        known = await client.get("/api/status/all", headers=CSRF)
        changed = await client.post("/", headers=PAGE)

    assert (bare.status_code, read.status_code) == (401, 401)
    assert (sent.status_code, known.status_code) == (200, 200)
    assert changed.status_code in (401, 405)


async def test_a_cookie_may_what_its_key_may(router: Running) -> None:
    async with router.client() as client:
        await sign_in(client, "ann-key")
        asked = await client.post("/api/chat/completions", json=CHAT, headers=CSRF)
        with_key = await client.get(
            "/api/status/all", headers={**CSRF, "authorization": "Bearer wrong"}
        )

    assert asked.status_code == 403
    assert with_key.status_code == 401  # a key in the header goes first


async def test_a_key_that_ends_takes_its_browsers_with_it(router: Running, tmp_path: Path) -> None:
    async with router.client() as client:
        await sign_in(client, "ann-key")
        before = await client.get("/", headers=PAGE)
        (tmp_path / "keys.yaml").write_text(yaml.safe_dump(keys(bob="user")))

        async def gone() -> bool:
            return (await client.get("/", headers=PAGE)).status_code == 401

        await until(gone, 5)

    assert before.status_code == 200


async def test_a_wrong_key_is_told_on_the_form_and_counted(router: Running) -> None:
    async with router.client() as client:
        wrong = await sign_in(client, "eve-key", next="/chat")
        await asyncio.gather(*(sign_in(client, f"guess-{at}") for at in range(100)))
        many = await sign_in(client, "eve-key")
        right = await sign_in(client, "ann-key")

    assert wrong.status_code == 401
    assert "not known here" in wrong.text
    assert 'value="/chat"' in wrong.text
    assert "set-cookie" not in wrong.headers
    assert many.status_code == 429
    assert int(many.headers["retry-after"]) >= 1
    assert right.status_code == 303


@pytest.mark.parametrize(
    "next_", ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nb"]
)
async def test_signing_in_leads_to_no_other_site(router: Running, next_: str) -> None:
    async with router.client() as client:
        entered = await sign_in(client, "ann-key", next=next_)
        form = await client.get("/login", params={"next": next_})

    assert entered.headers["location"] == "/"
    assert 'name="next" value="/"' in form.text


async def test_a_form_of_another_site_signs_nobody_in_or_out(router: Running) -> None:
    foreign = {"origin": "http://evil.example"}
    async with router.client() as client:
        entered = await client.post("/login", data={"key": "ann-key"}, headers=foreign)
        await sign_in(client, "ann-key")
        left = await client.post("/logout", headers=foreign)
        still = await client.get("/", headers=PAGE)

    assert (entered.status_code, left.status_code) == (403, 403)
    assert still.status_code == 200


async def test_forms_that_are_none_are_refused(router: Running) -> None:
    async with router.client() as client:
        large = await client.post("/login", content=b"key=" + b"x" * 100_000)
        odd = await client.post("/login", content=b"\xff\xfe")
        many = await client.post("/login", content=b"&".join([b"a=b"] * 50))
        empty = await client.post("/login")

    assert large.status_code == 413
    assert odd.status_code in (400, 401)
    assert many.status_code == 400
    assert empty.status_code == 401


async def test_without_keys_there_is_nothing_to_sign_in_to(tmp_path: Path) -> None:
    async with running_router({"a": "http://127.0.0.1:9"}, folder=tmp_path) as running:
        async with running.client() as client:
            form = await client.get("/login")
            entered = await client.post("/login", data={"key": "x"})
            page = await client.get("/", headers=PAGE)

    assert [form.status_code, entered.status_code] == [303, 303]
    assert "Sign out" not in page.text
