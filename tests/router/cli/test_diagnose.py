"""`dpl diagnose`: what the router finds wrong, as a list."""

import json

import pytest

from tests.router.cli.conftest import Run, Scripted

WRONG = {
    "severity": "critical",
    "node": "gpu-1",
    "what": "its LLM server does not answer\x1b[2J",
    "evidence": "refused\nagain",
    "remedy": "see whether it runs",
}
FINE = {
    "severity": "ok",
    "node": None,
    "what": "nothing is wrong",
    "evidence": "answers",
    "remedy": "",
}


def test_each_finding_is_a_line_with_its_evidence_and_its_remedy(
    dpl: Run, router: Scripted
) -> None:
    router.body = json.dumps({"findings": [WRONG, FINE]}).encode()

    done = dpl("diagnose", url=router.url)

    assert done.stdout.splitlines() == [
        "critical: gpu-1: its LLM server does not answer[2J",
        "  refused",
        "  again",
        "  → see whether it runs",
        "ok: nothing is wrong",
        "  answers",
    ]
    assert done.returncode == 1
    assert router.asked[0][0] == "/api/debug/diagnosis"


def test_where_nothing_is_wrong_it_ends_well(dpl: Run, router: Scripted) -> None:
    hint = {**FINE, "severity": "info"}
    router.body = json.dumps({"findings": [hint, FINE]}).encode()

    done = dpl("diagnose", "-o", "json", url=router.url)

    assert (done.returncode, json.loads(done.stdout)) == (0, [hint, FINE])


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"findings": [1]}', b"<html>"])
def test_something_that_is_no_router_is_told(dpl: Run, router: Scripted, body: bytes) -> None:
    router.body = body

    done = dpl("diagnose", url=router.url)

    assert done.returncode == 1
    assert "is --url right?" in done.stderr
