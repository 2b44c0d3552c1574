"""The front door: host names, request ids, what browsers are told."""

from typing import Any

import pytest

from dpl_router.errors import DplError
from dpl_router.security.headers import FrontDoor, Hosts
from dpl_router.settings import Address
from tests.router.security.asgi import call


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the request's id; on /own it writes the header itself."""
    given = scope["state"]["request_id"].encode()
    headers = [(b"x-request-id", given)] if scope["path"] == "/own" else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": given, "more_body": False})


def body(path: str, error: DplError) -> tuple[str, bytes]:
    return "application/problem+json", f"{path}: {error.message}".encode()


def door(*allowed: str, listen: str = "10.0.0.7", hot: str = "/hot") -> FrontDoor:
    hosts = Hosts(Address(listen, 8000), allowed)
    return FrontDoor(echo, hosts=hosts, error_body=body, hot={hot: echo})


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "[::1]", "10.0.0.7:8000",
     "router.lan", "Router.LAN:443", "[fd00::1]:8000"],
)  # fmt: skip
async def test_our_names_are_answered_whatever_the_port(host: str) -> None:
    app = door("router.lan", "[fd00::1]")

    assert (await call(app, "/", headers={"host": host})).status == 200


async def test_an_empty_host_is_as_good_as_none() -> None:
    """No browser sends it."""
    assert (await call(door(), "/", headers={"host": ""})).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "evil.example:8000", " ", "127.0.0.1.nip.io",
     "::1", "localhost:8000:8000", "router.lan", "127.0.0.2", "localhost.", "[::1",
     "[::1].evil.example", "localhost:x", "[localhost]"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/hot"])
async def test_other_names_are_refused_in_the_paths_own_envelope(host: str, path: str) -> None:
    """A page that rebinds its own name to 127.0.0.1 must not reach us."""
    answer = await call(door(), path, headers={"host": host})

    assert answer.status == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body.startswith(f"{path}: this router does not answer".encode())
    assert answer.headers["x-request-id"]


async def test_two_hosts_are_none_and_http_1_0_needs_none() -> None:
    twice = [(b"host", b"localhost"), (b"host", b"localhost")]

    assert (await call(door(), "/", raw=twice)).status == 403
    assert (await call(door(), "/")).status == 200


async def test_a_reload_counts_from_the_next_call() -> None:
    hosts = Hosts(Address("10.0.0.7", 8000), ["old.lan"])
    app = FrontDoor(echo, hosts=hosts, error_body=body)
    assert (await call(app, "/", headers={"host": "old.lan"})).status == 200
    assert (await call(app, "/", headers={"host": "new.lan"})).status == 403

    hosts.allow(["new.lan"])

    assert (await call(app, "/", headers={"host": "new.lan"})).status == 200
    assert (await call(app, "/", headers={"host": "old.lan"})).status == 403


async def test_a_sane_request_id_is_kept_and_others_are_replaced() -> None:
    app = door()

    kept = await call(app, "/", headers={"x-request-id": "a-B_3.x"})
    made = [
        await call(app, "/", headers={"x-request-id": bad})
        for bad in ("", "a b", "é", "x" * 65, "a\nb", "<script>")
    ]

    assert kept.headers["x-request-id"] == "a-B_3.x"
    assert kept.body == b"a-B_3.x"
    ids = {answer.headers["x-request-id"] for answer in made}
    assert len(ids) == len(made)
    assert all(answer.body.decode() == answer.headers["x-request-id"] for answer in made)


async def test_two_routers_make_different_ids() -> None:
    assert (await call(door(), "/")).body != (await call(door(), "/")).body


async def test_browsers_are_told_to_load_nothing_from_elsewhere() -> None:
    headers = (await call(door(), "/")).headers

    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "
        "'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"


async def test_a_hot_answer_goes_out_as_its_handler_wrote_it() -> None:
    answer = await call(door(), "/hot", headers={"x-request-id": "mine"})

    assert answer.headers == {}
    assert answer.body == b"mine"


async def test_the_request_id_is_never_said_twice() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/own", "headers": []}
    await door()(scope, None, send)  # type: ignore[arg-type]

    names = [name for name, _ in sent[0]["headers"]]
    assert names.count(b"x-request-id") == 1


async def test_the_lifespan_passes_through() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    door = FrontDoor(app, hosts=Hosts(Address("127.0.0.1", 8000)), error_body=body)
    await door({"type": "lifespan"}, None, None)  # type: ignore[arg-type]

    assert seen == ["lifespan"]
