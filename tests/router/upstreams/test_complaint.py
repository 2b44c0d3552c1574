"""What a node says when it refuses, and what its status means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.errors import RequestRefused, UpstreamBusy, UpstreamRefused
from dpl_router.upstreams.base import Head
from dpl_router.upstreams.complaint import (
    LONGEST,
    complaint,
    refusal,
    retry_after,
    sanitised,
    told_inside,
)

NOON = 1_795_608_000.0  # Wed, 25 Nov 2026 12:00:00 GMT


@pytest.mark.parametrize(
    "body",
    [
        '{"error":{"message":"no such thing","code":400}}',
        '{"error":"no such thing"}',
        '{"error":{"error":"no such thing"}}',
        '{"object":"error","message":"no such thing"}',
        '{"detail":"no such thing"}',
        '{"detail":[{"loc":["body"],"msg":"no such thing"}]}',
        '{"error_type":"x","error_message":"no such thing"}',
        '"no such thing"',
        "no such thing\n",
    ],
)
def test_every_known_shape_of_an_error_is_read(body: str) -> None:
    assert complaint(body.encode()) == "no such thing"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"7", b"<html>Sign in</html>", b'{"error":null}']
)
def test_where_nothing_is_said_nothing_is_made_up(body: bytes) -> None:
    assert complaint(body) == ""


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"error":{"message":"m","code":400}}', 400),
        ('{"error":{"message":"m","status_code":422,"code":"x"}}', 422),
        ('{"object":"error","message":"m","code":413}', 413),
        ('{"error":"m","code":415}', 415),
    ],
)
def test_the_requests_own_error_with_status_200_is_the_clients(body: str, status: int) -> None:
    told = told_inside("ours", body.encode())

    assert isinstance(told, RequestRefused)
    assert (told.status, told.message) == (status, "m")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"error":{"message":"m","code":503}}', 503),
        ('{"error":{"message":"m","code":"400"}}', 200),
        ('{"error":{"message":"m","code":7}}', 200),
        ('{"error":{"message":"m","code":1e999}}', 200),
        ('{"error":{"message":"m","code":404}}', 404),
        ('{"error":{"message":"m","code":401}}', 401),
        ("[400]", 200),
        ("no JSON", 200),
    ],
)
def test_any_other_error_with_status_200_is_the_nodes(body: str, status: int) -> None:
    told = told_inside("ours", body.encode())

    assert type(told) is UpstreamRefused
    assert (told.upstream_status, told.message) == (status, "ours")


def test_a_429_with_status_200_is_a_busy_node() -> None:
    told = told_inside("ours", b'{"error":{"code":429}}')

    assert isinstance(told, UpstreamBusy)
    assert told.upstream_status == 429


def test_a_body_nested_without_end_is_no_trouble() -> None:
    assert complaint(b"[" * 100_000).startswith("[[")


@pytest.mark.parametrize(
    "said",
    [
        "Incorrect API key provided: sk-abcdef123456.",
        "got Authorization: Bearer abc.def",
        "api_key=hunter2secret",
        "http://user:pass@10.0.0.5/ refused",
        '{"token": "abcdefgh"}',
    ],
)
def test_credentials_are_blotted_out(said: str) -> None:
    told = sanitised(said)

    assert "[redacted]" in told
    assert not any(part in told for part in ("abcdef", "abc.def", "hunter2", "pass@", "user:"))


@given(st.text())
def test_what_is_shown_is_one_short_printable_line(text: str) -> None:
    told = sanitised(text)

    assert len(told) <= LONGEST
    assert told.isprintable()


def test_terminal_codes_and_reversed_text_do_not_get_through() -> None:
    assert sanitised("a\x1b[31mb\u202ec\nd") == "a [31mb c d"


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_is_the_requests_own_fault_keeps_its_status_and_message(status: int) -> None:
    error = refusal(Head(status, {}), b'{"error":{"message":"too long"}}', NOON)

    assert isinstance(error, RequestRefused)
    assert (error.status, error.message) == (status, "too long")


def test_a_refusal_without_words_names_the_status() -> None:
    assert "422" in refusal(Head(422, {}), b"", NOON).message


@pytest.mark.parametrize("status", [401, 403])
def test_of_a_refused_credential_nothing_of_the_body_is_told(status: int) -> None:
    error = refusal(Head(status, {}), b'{"error":"wrong key: hunter2"}', NOON)

    assert isinstance(error, UpstreamRefused)
    assert "hunter2" not in error.message


@pytest.mark.parametrize("status", [201, 302, 404, 405, 408, 429, 500, 501, 503, 599])
def test_any_other_status_lets_another_node_try(status: int) -> None:
    error = refusal(Head(status, {"retry-after": "7"}), b"busy", NOON)

    assert isinstance(error, UpstreamRefused)
    assert (error.upstream_status, error.retry_after) == (status, 7.0)
    assert "busy" in error.message


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Wed, 25 Nov 2026 12:00:30 GMT", 30.0),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("inf", None),
        ("nan", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(said: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": said}, NOON) == seconds


def test_without_the_header_nothing_is_known() -> None:
    assert retry_after({}, NOON) is None
