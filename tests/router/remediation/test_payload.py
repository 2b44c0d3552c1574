"""What is not Alertmanager's call is refused whole, with its place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.errors import BadRequest
from dpl_router.remediation.payload import read

ALERT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "DplGpuMissing", "node": "a", "action": "cordon"},
    "annotations": {"summary": "a lost a\nGPU\x1b[31m."},
    "startsAt": "2026-01-02T03:04:05.678Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph",
    "fingerprint": "b3e3a1c0d5e6f708",
}


def call(*alerts: object, **more: object) -> bytes:
    """As Alertmanager 0.25 to 0.33 send it."""
    return json.dumps(
        {
            "version": "4",
            "groupKey": '{}/{action=~"cordon|drain"}:{node="a"}',
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "router-actions",
            "groupLabels": {"node": "a"},
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": "http://alertmanager",
            "alerts": alerts,
            **more,
        }
    ).encode()


def test_what_an_alert_says_is_one_line_for_people() -> None:
    (alert,) = read(call(ALERT)).alerts

    assert (alert.name, alert.node, alert.why) == ("DplGpuMissing", "a", "a lost a GPU [31m.")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", None),
        (b"<html>", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        (b"null", None),
        (call(ALERT, version="3"), "version"),
        (call(ALERT, truncatedAlerts=-1), "truncatedAlerts"),
        (call(ALERT, alerts={}), "alerts"),
        (call("x"), "alerts[0]"),
        (call({**ALERT, "status": "maybe"}), "alerts[0].status"),
        (call({**ALERT, "fingerprint": "../../etc"}), "alerts[0].fingerprint"),
        (call({**ALERT, "fingerprint": "ab\n"}), "alerts[0].fingerprint"),
        (call({**ALERT, "fingerprint": ""}), "alerts[0].fingerprint"),
        (call({**ALERT, "labels": {"node": 1}}), "alerts[0].labels[...]"),
        (call({**ALERT, "labels": {"node": "x" * 5000}}), "alerts[0].labels[...]"),
        (call(*[ALERT] * 10_001), "alerts"),
        (b'{"version": "4"}', "alerts"),
    ],
)
def test_a_hostile_body_is_refused_with_its_place(body: bytes, place: str | None) -> None:
    with pytest.raises(BadRequest) as refusal:
        read(body)

    assert refusal.value.param == place


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_body_does_more_than_be_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["alerts", "version", "labels", "status", "x"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_json_of_any_shape_is_read_or_refused(value: object) -> None:
    try:
        read(json.dumps(value).encode())
    except BadRequest:
        return
