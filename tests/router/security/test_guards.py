"""Who is let in, who is held at the door, and what a foreign page may not do."""

import hashlib
from typing import Any

import pytest
from litestar import Litestar, asgi, get, post
from litestar.types import Receive, Scope, Send

from dpl_router.security.guards import default_deny, guarded, identity_of, operator, user, viewer
from dpl_router.security.keys import EVERYONE, Identity, Key, KeyRing, Role
from dpl_router.security.sessions import Sessions
from tests.router.security.asgi import Answer, application, call


@get("/look", guards=[viewer])
async def look(scope: Scope) -> str:
    return identity_of(scope).name


@asgi("/chat", guards=[user], copy_scope=False)
async def chat(scope: Scope, receive: Receive, send: Send) -> None:
    body = identity_of(scope).name.encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": False})


@post("/rule", guards=[operator], status_code=200)
async def rule(scope: Scope) -> str:
    return identity_of(scope).name


@get("/open", opt={"open": True})
async def ready() -> str:
    return "ready"


@get("/forgotten")
async def forgotten() -> str:
    return "secret"


KEYS = {role: f"key-{role.word}" for role in Role}
HANDLERS = [look, chat, rule, ready, forgotten]


def keyed() -> Litestar:
    ring = KeyRing(
        [
            Key(Identity(role.word, role), hashlib.sha256(key.encode()).digest())
            for role, key in KEYS.items()
        ]
    )
    return application(HANDLERS, ring)


def bearer(key: str) -> dict[str, str]:
    return {"host": "localhost:8000", "authorization": f"Bearer {key}"}


async def status(app: Any, path: str, **more: Any) -> int:
    answer: Answer = await call(app, path, **more)
    return answer.status


@pytest.mark.parametrize("role", Role)
async def test_each_role_may_what_the_lower_ones_may_and_no_more(role: Role) -> None:
    app = keyed()
    headers = bearer(KEYS[role])

    statuses = [
        await status(app, "/look", headers=headers),
        await status(app, "/chat", headers=headers, method="POST"),
        await status(app, "/rule", headers=headers, method="POST"),
    ]

    assert statuses == [200] * int(role) + [403] * (3 - int(role))


async def test_a_refusal_names_the_role_that_is_needed() -> None:
    answer = await call(keyed(), "/chat", headers=bearer(KEYS[Role.VIEWER]))

    assert answer.body == b"this needs a key of role user; yours is viewer"


async def test_the_handler_learns_who_calls() -> None:
    app = keyed()

    for path, role in (("/chat", Role.USER), ("/look", Role.OPERATOR)):
        assert (await call(app, path, headers=bearer(KEYS[role]))).body == role.word.encode()


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic a2V5LXVzZXI=", "Bearer wrong", "key-user"]
)
async def test_without_a_right_key_nobody_gets_in(header: str | None) -> None:
    headers = {"host": "localhost"} | ({} if header is None else {"authorization": header})

    assert await status(keyed(), "/chat", headers=headers) == 401


async def test_the_word_bearer_may_be_written_in_any_way() -> None:
    assert await status(keyed(), "/chat", headers={"authorization": "bEaReR  key-user "}) == 200


async def test_a_key_is_compared_byte_for_byte() -> None:
    secret = b"\xff\xfe\xc3\xa9"
    ring = KeyRing([Key(Identity("odd", Role.USER), hashlib.sha256(secret).digest())])
    app = application(HANDLERS, ring)

    assert await status(app, "/chat", raw=[(b"authorization", b"Bearer " + secret)]) == 200


@pytest.mark.parametrize("keys", [True, False])
async def test_a_handler_without_a_guard_is_closed_to_everybody(keys: bool) -> None:
    app = keyed() if keys else application(HANDLERS, None)
    headers = bearer(KEYS[Role.OPERATOR])

    assert await status(app, "/forgotten", headers=headers) == 403
    assert await status(app, "/open") == 200


async def test_a_handler_that_says_who_may_call_is_told_apart() -> None:
    app = keyed()
    handlers = {path: app.route_handler_method_map[path] for path in ("/look", "/forgotten")}

    says = {path: guarded(next(iter(found.values()))) for path, found in handlers.items()}

    assert says == {"/look": True, "/forgotten": False}
    assert default_deny in app.guards


async def test_without_a_keys_file_everyone_is_operator() -> None:
    app = application(HANDLERS, None)

    answer = await call(app, "/rule", method="POST", headers={"host": "localhost"})

    assert (answer.status, answer.body) == (200, EVERYONE.name.encode())


async def test_an_app_that_was_told_nothing_about_keys_lets_nobody_in() -> None:
    app = application(HANDLERS, None)
    del app.state["keyring"]

    assert await status(app, "/chat") == 500


async def test_a_new_ring_counts_from_the_next_call() -> None:
    app = keyed()
    headers = bearer(KEYS[Role.USER])
    assert await status(app, "/chat", headers=headers) == 200

    app.state["keyring"] = KeyRing([])

    assert await status(app, "/chat", headers=headers) == 401


async def test_after_a_hundred_wrong_keys_an_address_waits() -> None:
    """Right keys and calls without one are neither counted nor held."""
    app = keyed()
    for _ in range(150):
        assert await status(app, "/chat") == 401
    tried = [await status(app, "/chat", headers=bearer(f"guess-{n}")) for n in range(101)]

    assert tried == [401] * 100 + [429]
    answer = await call(app, "/chat", headers=bearer("guess"))
    assert 0 < float(answer.headers["retry-after"]) <= 60
    assert await status(app, "/chat") == 401
    assert await status(app, "/chat", headers=bearer(KEYS[Role.USER])) == 200
    assert await status(app, "/chat", headers=bearer("x"), client=("10.0.0.9", 1)) == 401
    assert await status(app, "/chat", headers=bearer("x"), client=None) == 401


@pytest.mark.parametrize("keys", [True, False])
@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("http://localhost:8000", True),
        ("http://LOCALHOST:8000", True),
        ("https://localhost:8000", True),
        ("http://evil.example", False),
        ("http://localhost:3000", False),
        ("http://localhost:8000.evil.example", False),
        ("null", False),
        ("", False),
        ("http://", False),
    ],
)
async def test_a_page_of_another_origin_is_refused(keys: bool, origin: str, welcome: bool) -> None:
    app = keyed() if keys else application(HANDLERS, None)
    headers = bearer(KEYS[Role.OPERATOR]) | {"origin": origin}

    assert await status(app, "/look", headers=headers) == (200 if welcome else 403)


@pytest.mark.parametrize("mark", ["origin", "referer", "sec-fetch-site", "sec-fetch-mode"])
async def test_without_keys_a_page_proves_that_a_change_is_its_own(mark: str) -> None:
    app = application(HANDLERS, None)
    headers = {"host": "localhost:8000", mark: "http://localhost:8000"}

    assert await status(app, "/rule", method="POST", headers=headers) == 403
    assert await status(app, "/chat", method="PUT", headers=headers) == 403
    assert await status(app, "/rule", method="POST", headers=headers | {"x-csrf": "1"}) == 200
    assert await status(app, "/look", headers=headers) == 200


async def test_a_key_is_proof_enough() -> None:
    headers = bearer(KEYS[Role.OPERATOR]) | {"referer": "http://localhost:8000/"}

    assert await status(keyed(), "/rule", method="POST", headers=headers) == 200


@pytest.mark.parametrize("origin", ["null", "", "file://"])
@pytest.mark.parametrize("host", [{}, {"host": ""}])
async def test_an_origin_without_a_host_is_foreign_also_where_we_have_no_name(
    origin: str, host: dict[str, str]
) -> None:
    headers = {"authorization": f"Bearer {KEYS[Role.OPERATOR]}", "origin": origin, **host}

    assert await status(keyed(), "/look", headers=headers) == 403


@pytest.mark.parametrize(
    ("method", "more", "welcome"),
    [
        ("GET", {}, True),
        ("HEAD", {}, True),
        ("POST", {}, False),
        ("PUT", {}, False),
        ("POST", {"x-csrf": "1"}, True),
    ],
)
async def test_on_a_page_a_cookie_alone_lets_nobody_change_anything(
    method: str, more: dict[str, str], welcome: bool
) -> None:
    app = keyed()
    sessions = app.state["sessions"] = Sessions(lambda: 0.0)
    token = sessions.begin(hashlib.sha256(KEYS[Role.USER].encode()).digest())
    headers = {"host": "localhost", "cookie": f"dpl_session={token}", **more}

    answer = await status(app, "/chat", method=method, headers=headers)

    assert answer == (200 if welcome else 401)
