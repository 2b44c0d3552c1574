"""What the exporter answers, over the wire, from a real process; hostile bytes included."""

import re
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)

import dpl_exporter
from dpl_exporter.errors import Refused
from tests.exporter.process import Running, error_of, post, raw
from tests.exporter.values import by, only, values_of, values_on
from tests.fakes.llm_status import Said, StatusServer


def test_metrics_come_as_prometheus_text_or_openmetrics_by_accept(exporter: Running) -> None:
    exporter.page()
    text = exporter.call("GET", "/metrics")
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    openmetrics = exporter.call("GET", "/metrics", headers=accept)

    assert text.headers["Content-Type"].startswith("text/plain; version=")
    assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text")
    assert only(values_on(text.body.decode()), "dpl_llm_up") == 1.0
    families = parse_openmetrics(openmetrics.body.decode())  # type: ignore[no-untyped-call]
    assert only(values_of(families), "dpl_llm_up") == 1.0


@pytest.mark.parametrize("version", ["abc", "", "1.0.0;escaping=zzz", "1.0.0;=;;"])
def test_an_accept_that_nobody_understands_is_answered_in_text(
    exporter: Running, version: str
) -> None:
    accept = {"Accept": f"application/openmetrics-text; version={version}"}

    assert exporter.call("GET", "/metrics", headers=accept).status == 200


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("text/plain; version=0.0.4; charset=utf-8", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text"),
        ("text/html; charset=utf-8", "text/plain"),
        ("text/plainly", "text/plain"),
        ("text/plain\r\n X-Folded: 1", "text/plain"),
        ("", "text/plain"),
    ],
)
def test_of_an_engines_page_only_the_types_of_metrics_pass_through(
    exporter: Running, llm: StatusServer, said: str, told: str
) -> None:
    """Else who may write that page could have a browser run what it likes at our address."""
    kept = llm.answers["/metrics"]
    llm.answers["/metrics"] = Said(b"<script>1</script>", content_type=said)
    try:
        answer = exporter.call("GET", "/metrics/llamacpp")
    finally:
        llm.answers["/metrics"] = kept

    assert (answer.headers["Content-Type"], answer.body) == (told, b"<script>1</script>")
    assert "X-Folded" not in answer.headers


def test_the_engines_own_metrics_pass_through_unchanged(
    exporter: Running, llm: StatusServer
) -> None:
    answer = exporter.call("GET", "/metrics/llamacpp")

    assert answer.body == llm.answers["/metrics"].body
    assert answer.headers["Content-Type"] == "text/plain"


def test_an_engine_without_metrics_is_200_and_empty(exporter: Running, llm: StatusServer) -> None:
    kept = llm.answers["/metrics"]
    llm.answers["/metrics"] = Said(b'{"error": "not enabled"}', 501)
    try:
        answer = exporter.call("GET", "/metrics/llamacpp")
    finally:
        llm.answers["/metrics"] = kept

    assert (answer.status, answer.body) == (200, b"")


def test_an_engine_that_is_not_here_is_404(exporter: Running) -> None:
    for path in ("/metrics/vllm", "/metrics/", "/metrics/..%2f..%2fetc", "/metrics/%00"):
        assert exporter.call("GET", path).status == 404


def test_status_is_the_seeds_document(exporter: Running) -> None:
    token = post(exporter, "/lock", {"owner": "r1", "ttl_seconds": 30, "slots": 2}).json()["token"]

    document = exporter.call("GET", "/status").json()

    assert token
    lock = document["lock"]
    assert isinstance(lock, dict)
    (holder,) = lock.pop("holders")
    assert 0 < holder.pop("expires_in") <= 30
    assert holder == {"owner": "r1", "slots": 2, "exclusive": False, "priority": 0}
    assert lock == {"owner": "r1", "slots": 2, "slots_free": 0, "exclusive": False}
    assert document["locked"] is True
    assert document["gpu"] == []
    assert document["model"] == "tiny-random"
    assert document["llm"] == {"up": True, "backend": "llamacpp"}
    memory = document["memory"]
    assert isinstance(memory, dict)
    assert 0 < memory["percent"] < 100
    assert {"cpu", "network", "disk"} <= document.keys()


def test_a_lease_goes_its_way(exporter: Running) -> None:
    granted = post(exporter, "/lock", {"owner": "r1", "ttl_seconds": 10, "slots": 1})
    token = granted.json()["token"]
    renewed = post(exporter, "/lock", {"owner": "r1", "ttl_seconds": 20.5, "token": token})
    stale = post(exporter, "/unlock", {"owner": "r1", "token": 1})
    ended = post(exporter, "/unlock", {"owner": "r1", "token": token})

    assert granted.status == 200
    assert {k: granted.json()[k] for k in ("owner", "slots", "exclusive", "slots_free")} == {
        "owner": "r1",
        "slots": 1,
        "exclusive": False,
        "slots_free": 1,
    }
    assert granted.json()["expires_in"] == 10.0
    assert (renewed.json()["token"], renewed.json()["expires_in"]) == (token, 20.5)
    assert stale.status == 409
    assert ended.json() == {"owner": "r1", "released": ["r1"], "slots_free": 2}


def test_a_conflict_names_the_holders_and_when_to_come_again(exporter: Running) -> None:
    post(exporter, "/lock", {"owner": "r1", "ttl_seconds": 9, "exclusive": True, "priority": 2})

    refused = post(exporter, "/lock", {"owner": "r2", "ttl_seconds": 10})

    assert refused.status == 409
    assert refused.headers["Retry-After"] == "9"
    document = refused.json()
    holders = document["holders"]
    assert isinstance(holders, list)
    assert [(one["owner"], one["exclusive"], one["priority"]) for one in holders] == [
        ("r1", True, 2)
    ]
    assert isinstance(document["expires_in"], float)
    assert 8.0 < document["expires_in"] <= 9.0


def test_more_slots_than_the_node_has_are_refused_with_its_capacity_and_no_time_to_come_again(
    exporter: Running,
) -> None:
    """Who waited and asked again would do so for ever."""
    too_many = {"owner": "r1", "ttl_seconds": 10, "slots": 3}
    never = post(exporter, "/lock", too_many)
    token = post(exporter, "/lock", too_many | {"slots": 1}).json()["token"]
    changed = post(exporter, "/lock", too_many | {"token": token})
    other = post(exporter, "/lock", too_many | {"owner": "r2"})

    assert never.status == other.status == 409
    assert "2 slots in all" in error_of(never)
    assert "Retry-After" not in other.headers
    assert "Retry-After" not in never.headers
    assert changed.status == 409, "a change that does not fit keeps the lease"
    assert post(exporter, "/unlock", {"owner": "r1", "token": token}).status == 200


def test_without_a_body_it_is_an_anonymous_exclusive_minute(exporter: Running) -> None:
    locked = exporter.call("POST", "/lock")
    again = exporter.call("POST", "/lock")
    first, second = exporter.call("POST", "/unlock"), exporter.call("POST", "/unlock")

    assert (locked.json()["exclusive"], locked.json()["expires_in"]) == (True, 60.0)
    assert again.status == 409
    assert (first.json()["released"], second.json()["released"]) == (["anonymous"], [])
    assert second.status == 200


def test_unlocking_without_a_body_never_touches_an_owners_lease(exporter: Running) -> None:
    token = post(exporter, "/lock", {"owner": "r1", "ttl_seconds": 10}).json()["token"]

    refused = exporter.call("POST", "/unlock")

    assert refused.status == 409
    assert post(exporter, "/unlock", {"owner": "r1", "token": token}).status == 200


def test_a_token_survives_a_client_that_knows_floats_alone(exporter: Running) -> None:
    token = post(exporter, "/lock", {"owner": "r1", "ttl_seconds": 10}).json()["token"]
    assert isinstance(token, int)

    body = f'{{"owner": "r1", "token": {float(token)!r}}}'.encode()

    assert exporter.call("POST", "/unlock", body).status == 200


def test_a_body_of_more_than_64_kib_is_413(exporter: Running) -> None:
    answer = exporter.call("POST", "/lock", b"x" * (64 * 1024 + 1))
    head = b"POST /lock HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\n"
    enormous = raw(exporter, head)

    assert answer.status == 413
    assert error_of(answer)
    assert enormous.startswith(b"HTTP/1.1 413 ")


def test_other_methods_are_405_with_allow_and_other_paths_404(exporter: Running) -> None:
    for method, path, allow in (
        ("GET", "/lock", "POST"),
        ("DELETE", "/unlock", "POST"),
        ("POST", "/metrics", "GET, HEAD"),
        ("OPTIONS", "/status", "GET, HEAD"),
        ("PUT", "/-/ready", "GET, HEAD"),
    ):
        answer = exporter.call(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, allow)
        assert error_of(answer)
    for path in ("/", "/metric", "/status/", "/lock/x", "/-/", "/%2e%2e/status"):
        answer = exporter.call("GET", path)
        assert answer.status == 404
        assert "/metrics" in error_of(answer)


def test_head_is_get_without_a_body(exporter: Running) -> None:
    answer = exporter.call("HEAD", "/-/healthy")

    assert (answer.status, answer.body) == (200, b"")


def test_health_and_readiness(exporter: Running) -> None:
    assert exporter.call("GET", "/-/healthy").status == 200
    assert exporter.call("GET", "/-/ready").status == 200


def test_every_answer_has_a_request_id_the_callers_where_it_is_sane(exporter: Running) -> None:
    mine = exporter.call("GET", "/-/ready", headers={"X-Request-Id": "abc.DEF-1_2"})
    insane = exporter.call("GET", "/nowhere", headers={"X-Request-Id": "a b<c>"})
    refused = raw(exporter, b"RUBBISH\r\n\r\n")

    assert mine.headers["X-Request-Id"] == "abc.DEF-1_2"
    assert re.fullmatch("[0-9a-f]{16}", insane.headers["X-Request-Id"])
    assert b"X-Request-Id: " in refused


@pytest.mark.parametrize(
    "host",
    ["evil.com", "127.0.0.1.evil.com", "localhost.evil.com", "10.0.0.5:8001", "0.0.0.0", "a@[::1]"],
)
def test_on_loopback_a_foreign_host_is_403(exporter: Running, host: str) -> None:
    """A page elsewhere can make its own name point to 127.0.0.1."""
    for path in ("/metrics", "/status", "/-/healthy", "/nowhere"):
        assert exporter.call("GET", path, headers={"Host": host}).status == 403
    assert exporter.call("POST", "/lock", headers={"Host": host}).status == 403
    assert exporter.call("GET", "/status").json()["locked"] is False


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:1", "[::1]:8001"])
def test_on_loopback_every_loopback_name_is_answered(exporter: Running, host: str) -> None:
    assert exporter.call("GET", "/-/healthy", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.com"},
        {"Origin": "null"},
        {"Origin": "http://[x"},
        {"Origin": "", "Referer": "http://[x"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Host": "localhost", "Origin": "http://localhost"},
    ],
)
def test_a_page_in_a_browser_locks_nothing(exporter: Running, headers: dict[str, str]) -> None:
    assert exporter.call("POST", "/lock", headers=headers).status == 403
    assert exporter.call("POST", "/unlock", headers=headers).status == 403
    assert exporter.call("GET", "/status").json()["locked"] is False


def test_a_program_that_fetches_as_node_js_does_may_lock(exporter: Running) -> None:
    """Its fetch sends Sec-Fetch-Mode, and no other header of a browser."""
    headers = {"Sec-Fetch-Mode": "cors", "Accept-Language": "*"}

    assert exporter.call("POST", "/lock", headers=headers).status == 200


def test_every_status_of_an_error_is_in_the_readme() -> None:
    readme = (Path(dpl_exporter.__file__).parents[1] / "README.md").read_text()
    (errors,) = (part for part in readme.split("\n\n") if part.startswith("Errors are"))
    kinds: list[type[Refused]] = [Refused, *Refused.__subclasses__()]
    ours = {kind.status[:3] for kind in kinds}

    assert "413" in ours
    for status in ours | {"408", "411"}:
        assert re.search(rf"\b{status}\b", errors), status


def test_leases_are_on_the_page(exporter: Running) -> None:
    post(exporter, "/lock", {"owner": "r1", "ttl_seconds": 10, "exclusive": True})

    values = exporter.page()

    assert only(values, "dpl_lock_held") == 1.0
    assert only(values, "dpl_lock_exclusive") == 1.0
    assert only(values, "dpl_lock_slots") == only(values, "dpl_node_slots") == 2.0
    assert only(values, "dpl_lock_state_persistent") == 1.0
    now = only(values, "dpl_node_time_seconds")
    assert 0 < only(values, "dpl_lock_lease_expires_timestamp_seconds") - now <= 10.5
    assert by(values, "dpl_lock_acquisitions_total", "result")["granted"] >= 1
