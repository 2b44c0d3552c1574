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
        after = await client.get("/", headers={**PAGE, "cookie": cookie.partition(";")[0]})

    assert closed.status_code == 401
    assert 'name="next" value="/chat"' in closed.text
    assert (entered.status_code, entered.headers["location"]) == (303, "/chat")
    assert cookie.startswith(f"dpl_session_{port_of(router)}=")
    for word in ("httponly", "samesite=strict", "path=/", "max-age="):
        assert word in cookie.lower()
    assert "secure" not in cookie.lower()
    assert [page.status_code for page in pages] == [200] * 3
    assert "Sign out" in pages[0].text
    assert left.status_code == 303
    assert left.headers["set-cookie"].startswith(f'dpl_session_{port_of(router)}="";')
    assert after.status_code == 401


def port_of(router: Running) -> str:
    return router.url.rpartition(":")[2]


async def test_what_tells_who_signed_in_is_kept_by_no_cache(router: Running) -> None:
    async with router.client() as client:
        form = await client.get("/login")
        wrong = await sign_in(client, "eve-key")
        entered = await sign_in(client, "ann-key")
        left = await client.post("/logout")

    assert [answer.headers["cache-control"] for answer in (form, wrong, entered, left)] == (
        ["no-store"] * 4
    )


async def test_two_routers_on_one_host_keep_a_browser_signed_in_at_both(
    router: Running, tmp_path: Path
) -> None:
    """A browser sends a host's cookies to all of its ports."""
    (tmp_path / "b").mkdir()
    async with (
        running_router(
            {"a": "http://127.0.0.1:9"}, folder=tmp_path / "b", keys_file=tmp_path / "keys.yaml"
        ) as other,
        router.client() as client,
    ):
        entered = await sign_in(client, "ann-key")
        origin = {"origin": other.url}
        await client.post(f"{other.url}/login", data={"key": "bob-key"}, headers=origin)
        pages = [await client.get(f"{url}/", headers=PAGE) for url in (router.url, other.url)]
        await client.post(f"{other.url}/logout", headers=origin)
        still = await client.get("/", headers=PAGE)
        left = await client.get(f"{other.url}/", headers=PAGE)

    assert entered.status_code == 303
    assert [page.status_code for page in pages] == [200, 200]
    assert (still.status_code, left.status_code) == (200, 401)


async def test_a_stray_cookie_of_our_name_hides_the_right_one_nowhere(router: Running) -> None:
    name = f"dpl_session_{port_of(router)}"
    async with router.client() as client:
        right = (await sign_in(client, "ann-key")).headers["set-cookie"].partition(";")[0]
        client.cookies.clear()
        both = [f"{name}=x; {right}", f"{right}; {name}=x"]
        pages = [await client.get("/", headers={**PAGE, "cookie": each}) for each in both]
        await client.post("/logout", headers={"cookie": both[0]})
        after = await client.get("/", headers={**PAGE, "cookie": right})

    assert [page.status_code for page in pages] == [200, 200]
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
        changed = await client.post("/events")

    assert (bare.status_code, read.status_code) == (401, 401)
    assert (sent.status_code, known.status_code) == (200, 200)
    assert changed.status_code == 401


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


async def heard_out(events: AsyncIterator[bytes]) -> None:
    """Returns when the stream has come to its proper end."""
    async with asyncio.timeout(8):
        async for _ in events:
            pass


async def test_what_an_open_page_is_told_ends_with_its_key(router: Running, tmp_path: Path) -> None:
    async with (
        router.client() as client,
        router.client("ann-key") as by_key,
        router.client("bob-key") as bob,
    ):
        await sign_in(client, "ann-key")
        async with (
            client.stream("GET", "/events") as hers,
            by_key.stream("GET", "/events") as hers_by_key,
            bob.stream("GET", "/events") as his,
        ):
            streams = [answer.aiter_raw() for answer in (hers, hers_by_key, his)]
            for stream in streams:
                await anext(stream)
            (tmp_path / "keys.yaml").write_text(yaml.safe_dump(keys(bob="user")))
            await heard_out(streams[0])
            await heard_out(streams[1])
            still = await anext(streams[2])
        again = await client.head("/events")

    assert b"data:" in still
    assert again.status_code == 401


async def test_what_an_open_page_is_told_ends_when_its_browser_signs_out(router: Running) -> None:
    async with router.client() as client:
        await sign_in(client, "ann-key")
        async with client.stream("GET", "/events") as answer:
            events = answer.aiter_raw()
            await anext(events)
            await client.post("/logout", headers={"origin": router.url})
            await heard_out(events)
        again = await client.head("/events")

    assert again.status_code == 401


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


@pytest.mark.parametrize(
    ("next_", "place"),
    [
        ("/\u4e2d", "/%E4%B8%AD"),
        ("/\U0001f600", "/%F0%9F%98%80"),
        ("/\xe9", "/%C3%A9"),
        ("/requests/a b?c=%20&d=1#e", "/requests/a%20b?c=%20&d=1#e"),
    ],
)
async def test_signing_in_leads_to_pages_of_any_script(
    router: Running, next_: str, place: str
) -> None:
    async with router.client() as client:
        entered = await sign_in(client, "ann-key", next=next_)

    assert (entered.status_code, entered.headers["location"]) == (303, place)
    assert "set-cookie" in entered.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "same-origin"])
async def test_a_form_that_a_browser_calls_foreign_signs_nobody_in_or_out(
    router: Running, site: str
) -> None:
    """Also where an extension or an old proxy took its `Origin` away."""
    marked = {"sec-fetch-site": site}
    async with router.client() as client:
        entered = await client.post("/login", data={"key": "ann-key"}, headers=marked)
        left = await client.post("/logout", headers=marked)

    assert [entered.status_code, left.status_code] == (
        [303, 303] if site in ("none", "same-origin") else [403, 403]
    )


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
