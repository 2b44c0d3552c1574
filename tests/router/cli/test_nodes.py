"""`dpl cordon`, `uncordon`, `drain`, `lock`, `unlock`: asked of the router, said on stderr."""

import json

import pytest

from tests.router.cli.conftest import Run, Scripted

CORDONED = {"node": "gpu-1", "cordoned": True, "kept": True, "cordons": [], "in_flight": 0}
UNCORDONED = {**CORDONED, "cordoned": False, "lifted": 1, "state": "ready", "reason": "ready"}
DRAINED = {
    "node": "gpu-1",
    "drained": True,
    "running": 0,
    "cut": 0,
    "seconds": 3.2,
    "kept": True,
}


def test_a_cordon_says_what_still_runs(dpl: Run, router: Scripted) -> None:
    router.body = json.dumps({**CORDONED, "in_flight": 2}).encode()

    done = dpl("cordon", "gpu-1", "--reason", "new fan", url=router.url)

    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr == ("gpu-1 is cordoned; 2 answers still run there, see `dpl drain gpu-1`\n")
    assert router.asked[0][0] == "/api/nodes/gpu-1/cordon"
    assert json.loads(router.asked[0][2]) == {"reason": "new fan"}


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({}, "serves again"),
        ({"lifted": 0}, "was not cordoned; it serves"),
        (
            {"state": "locked", "reason": "locked by local: training run"},
            "is not cordoned; it is locked by local: training run",
        ),
    ],
)
def test_an_uncordon_tells_what_the_node_is_now(
    dpl: Run, router: Scripted, now: dict[str, object], told: str
) -> None:
    router.body = json.dumps({**UNCORDONED, **now}).encode()

    done = dpl("uncordon", "gpu-1", url=router.url)

    assert done.stderr == f"gpu-1 {told}\n"
    assert router.asked[0][0] == "/api/nodes/gpu-1/uncordon"


def test_what_the_router_could_not_write_down_is_said(dpl: Run, router: Scripted) -> None:
    router.body = json.dumps({**CORDONED, "kept": False}).encode()

    done = dpl("cordon", "gpu-1", url=router.url)

    assert "a restart forgets it" in done.stderr


@pytest.mark.parametrize(
    ("said", "seconds"), [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("500ms", 0.5)]
)
def test_a_drain_waits_as_long_as_it_is_told(
    dpl: Run, router: Scripted, said: str, seconds: float
) -> None:
    router.body = json.dumps(DRAINED).encode()

    done = dpl("drain", "gpu-1", "--timeout", said, "--force", url=router.url)

    assert done.returncode == 0
    assert done.stderr == "gpu-1 is drained after 3.2 s\n"
    assert json.loads(router.asked[0][2]) == {"reason": "", "force": True, "timeout": seconds}


def test_a_drain_that_ran_out_of_time_is_a_failure(dpl: Run, router: Scripted) -> None:
    router.body = json.dumps({**DRAINED, "drained": False, "running": 1}).encode()

    done = dpl("drain", "gpu-1", url=router.url)

    assert done.returncode == 1
    assert "1 answer still runs there; again with --timeout, or --force" in done.stderr


def test_a_time_that_is_none_is_told_before_anything_is_asked(dpl: Run, router: Scripted) -> None:
    done = dpl("drain", "gpu-1", "--timeout", "soon", url=router.url)

    assert done.returncode == 2
    assert "'soon' is no time" in done.stderr
    assert router.asked == []


def test_a_lock_names_the_way_out(dpl: Run, router: Scripted) -> None:
    router.body = b'{"node": "gpu-1", "lock": {}}'

    done = dpl("lock", "gpu-1", "--reason", "bench", url=router.url)

    assert done.stderr == "gpu-1 is locked; `dpl unlock gpu-1` ends it\n"
    assert router.asked[0][0] == "/api/nodes/gpu-1/lock"


def test_a_lock_that_an_exporter_refuses_names_the_key(dpl: Run, router: Scripted) -> None:
    router.status = 503
    router.body = b'{"detail": "http://10.0.0.7:8001/lock answered 401", "status": 503}'

    done = dpl("lock", "gpu-1", url=router.url)

    assert done.returncode == 1
    assert "copy the keys file there, or set exporter_key" in done.stderr


def test_unlock_takes_one_node_or_all(dpl: Run, router: Scripted) -> None:
    router.body = b'{"node": "gpu-1", "outcome": "released"}'
    one = dpl("unlock", "gpu-1", url=router.url)
    router.body = b'[{"node": "a", "outcome": "released"}, {"node": "b", "outcome": "refused"}]'
    every = dpl("unlock", "--all", url=router.url)
    neither, both = dpl("unlock", url=router.url), dpl("unlock", "x", "--all", url=router.url)

    assert (one.returncode, one.stderr) == (0, "gpu-1: released\n")
    assert every.returncode == 1
    assert every.stderr.startswith("a: released\nb: refused; its exporter does not know")
    assert "set exporter_key\n" in every.stderr
    assert (neither.returncode, both.returncode) == (2, 2)
    assert [path for path, _, _ in router.asked] == ["/api/nodes/gpu-1/unlock", "/api/unlock/all"]


@pytest.mark.parametrize("verb", ["cordon", "uncordon", "drain", "lock", "unlock"])
def test_a_refusal_is_the_routers_words(dpl: Run, router: Scripted, verb: str) -> None:
    router.status = 409
    router.body = b'{"detail": "gpu-1 cannot be had\\u001b: it is held", "status": 409}'

    done = dpl(verb, "gpu-1", url=router.url)

    assert done.returncode == 1
    assert "it is held" in done.stderr
    assert "\x1b" not in done.stderr
    assert f"`dpl get {'leases' if verb == 'lock' else 'nodes'}`" in done.stderr


@pytest.mark.parametrize("verb", ["cordon", "drain", "lock", "unlock"])
@pytest.mark.parametrize("body", [b"[]", b"<html>"])
def test_something_that_is_no_router_is_told(
    dpl: Run, router: Scripted, verb: str, body: bytes
) -> None:
    router.body = body

    done = dpl(verb, "gpu-1", url=router.url)

    assert done.returncode == 1
    assert "is --url right?" in done.stderr
    assert "Traceback" not in done.stderr
