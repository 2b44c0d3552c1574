"""The pages over the wire: who may see them, what they load, what comes live."""

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import yaml

from dpl_router.pages.assets import FOLDER
from dpl_router.pages.board import KEEP_SECONDS
from dpl_router.pages.live import MOST_VIEWERS
from dpl_router.pages.scene import SETTLE_SECONDS
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Running, running_router, until, write_nodes
from tests.router.pages.stage import alert, alertmanager, answering

PAGE = {"accept": "text/html,application/xhtml+xml"}
BROWSER = {**PAGE, "sec-fetch-site": "none", "sec-fetch-mode": "navigate"}
KEYS = {"keys": [{"name": "eve", "role": "viewer", "sha256": hashlib.sha256(b"k").hexdigest()}]}


async def told(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The events of /events."""
    rest = b""
    async for piece in answer.aiter_raw():
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            yield json.loads(event.removeprefix(b"data: "))


async def test_programs_get_one_line_and_browsers_the_page(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                line = await client.get("/")
                page = await client.get("/", headers=BROWSER)
                chat = await client.get("/chat", headers=BROWSER)
                head = await client.head("/")

    assert (line.status_code, line.text) == (200, "Ollama is running")
    assert line.headers["content-type"].startswith("text/plain")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "The node is ready" in page.text
    assert '<option value="tiny">tiny — loaded on a</option>' in chat.text
    assert head.status_code == 200


async def test_pages_come_with_a_strict_policy_and_no_inline_code(tmp_path: Path) -> None:
    async with running_router({"a": "http://127.0.0.1:9"}, folder=tmp_path) as router:
        async with router.client() as client:
            pages = [await client.get(path, headers=PAGE) for path in ("/", "/chat")]

    for page in pages:
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assert "<style" not in page.text
        assert " style=" not in page.text
        assert " on" + "click=" not in page.text
        assert "<script>" not in page.text
        assert "http" + "://" not in page.text.replace("http://127.0.0.1:9", "")
        assert "https" + "://" not in page.text


async def test_with_keys_pages_and_events_are_closed_and_the_sign_of_life_is_open(
    tmp_path: Path,
) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text(yaml.safe_dump(KEYS), encoding="utf-8")
    async with running_router(
        {"a": "http://127.0.0.1:9"}, folder=tmp_path, keys_file=keys
    ) as router:
        async with router.client() as client:
            closed = [await client.get(path, headers=PAGE) for path in ("/", "/chat", "/events")]
            line = await client.get("/")
            style = await client.get("/static/style.css")
            mine = await client.get("/", headers={**PAGE, "authorization": "Bearer k"})

    assert [answer.status_code for answer in closed] == [401, 401, 401]
    for page in closed:
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["www-authenticate"] == "Bearer"
        assert "<h1>This page needs a key</h1>" in page.text
        assert "/static/style.css" in page.text
    assert line.text == "Ollama is running"
    assert style.status_code == 200
    assert mine.status_code == 200


async def test_an_unknown_path_is_a_page_for_browsers_and_a_problem_for_programs(
    tmp_path: Path,
) -> None:
    async with running_router({"a": "http://127.0.0.1:9"}, folder=tmp_path) as router:
        async with router.client() as client:
            page = await client.get("/<b>nothing", headers=PAGE)
            problem = await client.get("/nothing")
            schema = await client.get("/schema", headers=PAGE)

    assert (page.status_code, problem.status_code) == (404, 404)
    assert "<h1>Nothing is here</h1>" in page.text
    assert "<b>" not in page.text
    assert problem.headers["content-type"].startswith("application/problem+json")
    assert "/schema lists what is served here" in problem.json()["detail"]
    assert '<a href="/api/status/all"><code>GET /api/status/all</code></a>' in schema.text
    assert 'href="/api/pull"' not in schema.text
    assert "{" not in "".join(part.partition('"')[0] for part in schema.text.split('href="')[1:])


async def test_files_are_revalidated_by_their_hash_and_no_path_leads_elsewhere(
    tmp_path: Path,
) -> None:
    async with running_router({"a": "http://127.0.0.1:9"}, folder=tmp_path) as router:
        async with router.client() as client:
            first = await client.get("/static/live.js")
            etag = first.headers["etag"]
            seen = [etag, f"W/{etag}", f'"other", {etag}', "*"]
            again = [
                await client.get("/static/live.js", headers={"if-none-match": word})
                for word in seen
            ]
            old = await client.get("/static/live.js", headers={"if-none-match": '"other", "x"'})
            odd = ["nothing.js", "..%2Fcontroller.py", "%2e%2e%2fengine.py", "", ".", "a%00b"]
            wrong = [(await client.get("/static/" + name)).status_code for name in odd]

    assert first.headers["content-type"].startswith("text/javascript")
    assert {(each.status_code, each.content) for each in again} == {(304, b"")}
    assert (old.status_code, old.content) == (200, first.content)
    assert set(wrong) <= {400, 404}


def test_all_files_together_stay_light() -> None:
    weights = {path.name: path.stat().st_size for path in FOLDER.iterdir()}

    assert sum(weights.values()) < 60_000
    assert weights["style.css"] < 15_000


async def test_events_bring_everything_first_and_then_what_changes(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with (
                router.client() as client,
                client.stream("GET", "/events?page=overview") as answer,
            ):
                events = told(answer)
                first = await anext(events)
                node.kill()
                async for event in events:
                    changed = event["pieces"]
                    if "Offline" in changed.get("node-a", ""):
                        break

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert {"headline", "banners", "alerts", "status", "nodes"} == set(first["pieces"])
    assert "No node is ready" in changed["headline"]
    assert "alerts" not in changed


async def test_a_quiet_stream_gives_a_sign_of_life(tmp_path: Path) -> None:
    """Else the page could not tell a calm fleet from a dead router."""
    async with running_router({"a": "http://127.0.0.1:9"}, folder=tmp_path) as router:
        async with router.client() as client, client.stream("GET", "/events?page=chat") as answer:
            events = told(answer)
            await anext(events)
            async with asyncio.timeout(15):
                sign = await anext(events)

    assert sign["pieces"] == {}
    assert sign["now"] > 1.7e9


async def test_the_stream_ends_when_the_router_drains_and_new_ones_are_refused(
    tmp_path: Path,
) -> None:
    async with running_router({"a": "http://127.0.0.1:9"}, folder=tmp_path) as router:
        async with router.client() as client:
            async with client.stream("GET", "/events") as answer:
                router.parts.dispatcher.draining = True
                async with asyncio.timeout(5):
                    ended = [event async for event in told(answer)]
            refused = await client.get("/events")

    assert ended
    assert refused.status_code == 503


def viewers(router: Running) -> int:
    live = router.parts.litestar.state["live"]
    assert isinstance(live.viewers, int)
    return live.viewers


async def test_a_viewer_who_leaves_makes_room(tmp_path: Path) -> None:
    async with running_router({"a": "http://127.0.0.1:9"}, folder=tmp_path) as router:
        async with router.client() as client:
            async with client.stream("GET", "/events") as answer:
                await anext(told(answer))
                looking = viewers(router)
            await until(lambda: viewers(router) == 0, 5)

    assert looking == 1


async def test_viewers_who_leave_while_they_are_told_are_no_failure_of_ours(tmp_path: Path) -> None:
    """They come while a page is made for the first of them, and nobody is there to read it."""
    async with running_router({"a": "http://127.0.0.1:9"}, folder=tmp_path) as router:
        host = router.url.removeprefix("http://")
        request = f"GET /events HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()

        async def glance() -> None:
            _, writer = await asyncio.open_connection(*host.split(":"))
            writer.write(request)
            await asyncio.sleep(0)
            writer.close()
            await writer.wait_closed()

        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                await asyncio.gather(*(glance() for _ in range(20)))
                await asyncio.sleep(KEEP_SECONDS)
            await until(lambda: viewers(router) == 0, 5)

    assert [line for line in logs if line["log_level"] == "error"] == []


async def test_one_viewer_too_many_is_told_to_come_later(tmp_path: Path) -> None:
    async with running_router({"a": "http://127.0.0.1:9"}, folder=tmp_path) as router:
        router.parts.litestar.state["live"].viewers = MOST_VIEWERS
        async with router.client() as client:
            refused = await client.get("/events")
            page = await client.get("/", headers=PAGE)

    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert page.status_code == 200


async def test_events_take_only_a_get_and_no_foreign_page(tmp_path: Path) -> None:
    async with running_router({"a": "http://127.0.0.1:9"}, folder=tmp_path) as router:
        async with router.client() as client:
            post = await client.post("/events")
            foreign = await client.get("/events", headers={"origin": "http://elsewhere.test"})

    assert (post.status_code, post.headers["allow"]) == (405, "GET")
    assert foreign.status_code == 403


async def test_alerts_reach_the_page_by_one_poll_however_many_look(tmp_path: Path) -> None:
    asked: list[float] = []
    body = json.dumps([alert(summary="gpu-1 is down"), alert(summary="quiet", state="suppressed")])

    def answer() -> str:
        asked.append(asyncio.get_running_loop().time())
        return body

    async with (
        answering(answer) as url,
        running_router(
            {"gpu-1": "http://127.0.0.1:9"}, folder=tmp_path, alertmanager_url=url
        ) as router,
        router.client() as client,
    ):
        pages = await asyncio.gather(*(client.get("/", headers=PAGE) for _ in range(30)))
        polls = len(asked)

    assert polls <= 2
    assert "gpu-1 is down" in pages[-1].text
    assert "1 alert</a>" in pages[-1].text
    assert "1 silenced" in pages[-1].text


async def test_a_dead_alertmanager_shows_as_a_banner_and_the_page_comes_at_once(
    tmp_path: Path,
) -> None:
    async with running_router(
        {"a": "http://127.0.0.1:9"}, folder=tmp_path, alertmanager_url="http://127.0.0.1:9"
    ) as router:
        async with router.client() as client:

            async def banner() -> bool:
                page = await client.get("/", headers=PAGE)
                return "Alertmanager does not answer" in page.text

            await until(banner, SETTLE_SECONDS + 8)
            page = await client.get("/", headers=PAGE)

    assert "has not answered yet" in page.text
    assert page.text.count("Alertmanager does not answer") == 1


async def test_alerts_that_end_leave_the_page(tmp_path: Path) -> None:
    alerts = [alert(summary="gpu-1 is down")]
    async with (
        alertmanager(alerts) as url,
        running_router(
            {"gpu-1": "http://127.0.0.1:9"}, folder=tmp_path, alertmanager_url=url
        ) as router,
        router.client() as client,
        client.stream("GET", "/events") as answer,
    ):
        events = told(answer)
        shown = [(await anext(events))["pieces"].get("alerts", "")]
        while "gpu-1 is down" not in shown[-1]:
            shown.append((await anext(events))["pieces"].get("alerts", ""))
        alerts.clear()
        while "No alerts" not in shown[-1]:
            shown.append((await anext(events))["pieces"].get("alerts", ""))

    assert "gpu-1 is down" not in shown[-1]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_an_open_page_does_not_keep_the_router_from_ending(
    tmp_path: Path, how: signal.Signals
) -> None:
    write_nodes(tmp_path / "nodes.yaml", {"a": "http://127.0.0.1:9"}, {})
    command = [sys.executable, "-m", "dpl_router", "serve", "--listen", "127.0.0.1:0"]
    command += ["--nodes", str(tmp_path / "nodes.yaml"), "--data-dir", str(tmp_path / "data")]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        async with asyncio.timeout(20):
            line = (await process.stderr.readuntil(b"listening on http"))[-4:]
            url = (line + await process.stderr.readline()).decode().strip()
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
            await until(lambda: is_up(client), 10)
            async with client.stream("GET", "/events") as answer:
                await anext(told(answer))
                process.send_signal(how)
                async with asyncio.timeout(6):
                    await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert process.returncode == 0


async def is_up(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/-/healthy")).status_code == 200
    except httpx.TransportError:
        return False
