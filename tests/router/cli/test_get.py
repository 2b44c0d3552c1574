"""`dpl get nodes`, `dpl get models` and `dpl get leases`."""

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.router.cli.conftest import Run, Scripted

NODES = [
    {
        "name": "gpu-1",
        "online": True,
        "state": "busy",
        "locked": True,
        "cordoned": False,
        "slots": 4,
        "in_flight": 3,
        "cpu": 41.6,
        "memory": {"used": 6 * 2**30, "total": 64 * 2**30, "percent": 9.4},
        "gpu": [{"gpu": "0", "percent": 87.0}],
        "models": [{"name": "qwen3:14b", "loaded": True}, {"name": "b", "loaded": False}],
        "age": 1.4,
    },
    {
        "name": "mac",
        "online": False,
        "state": "offline",
        "locked": False,
        "cordoned": True,
        "slots": None,
        "in_flight": 0,
        "cpu": None,
        "memory": None,
        "gpu": [],
        "models": [],
        "age": None,
    },
]


@pytest.fixture
def nodes(router: Scripted) -> str:
    router.body = json.dumps(NODES).encode()
    return router.url


def columns(line: str) -> list[str]:
    return [cell for cell in line.split("   ") if cell]


def test_a_table_for_people(dpl: Run, nodes: str) -> None:
    lines = dpl("get", "nodes", url=nodes).stdout.splitlines()

    cells = [[cell.strip() for cell in columns(line)] for line in lines]
    assert cells == [
        ["NAME", "STATE", "BUSY", "CPU", "MEMORY", "MODELS", "MEASURED"],
        ["gpu-1", "busy", "3/4", "42%", "6.0G/64.0G", "qwen3:14b +1", "1s ago"],
        ["mac", "offline", "0/?", "-", "-", "-", "never"],
    ]


def test_wide_has_more_columns(dpl: Run, nodes: str) -> None:
    head, first, _ = dpl("get", "nodes", "-o", "wide", url=nodes).stdout.splitlines()

    assert {"GPU", "LOCKED", "CORDONED", "REASON"} <= set(head.split())
    assert "87%" in first


def test_wide_tells_who_bars_a_node_and_since_when(dpl: Run, router: Scripted) -> None:
    """A lease of the router's own, under its requests, is no lock."""
    since = "2026-01-02T03:04:05Z"
    lock, cordon = {"by": "ann", "since": since}, {"by": "bob", "since": since}
    barred = [
        {**NODES[0], "name": "a", "reason": "busy, 3 of 4 places taken"},
        {**NODES[0], "name": "b", "state": "locked", "reason": "locked by ann: x", "lock": lock},
        {**NODES[0], "name": "c", "state": "locked", "reason": "locked: x", "exclusive": True},
        {**NODES[0], "name": "d", "state": "cordoned", "reason": "by bob", "cordons": [cordon]},
        {**NODES[0], "name": "e", "state": "cordoned", "reason": "by file", "cordons": [{}]},
    ]
    router.body = json.dumps(barred).encode()
    head, *lines = dpl("get", "nodes", "-o", "wide", url=router.url).stdout.splitlines()
    rows = [columns(line) for line in lines]
    locked = [row[columns(head).index("LOCKED")].strip() for row in rows]

    assert locked == ["no", "yes", "yes", "no", "no"]
    assert [row[-1].strip() for row in rows] == [
        "busy, 3 of 4 places taken",
        f"locked by ann: x, since {since}",
        "locked: x",
        f"by bob, since {since}",
        "by file",
    ]


def test_data_is_what_the_router_said(dpl: Run, nodes: str) -> None:
    assert json.loads(dpl("get", "nodes", "-o", "json", url=nodes).stdout) == NODES
    assert yaml.safe_load(dpl("get", "nodes", "-o", "yaml", url=nodes).stdout) == NODES
    assert dpl("get", "nodes", "-o", "name", url=nodes).stdout == "gpu-1\nmac\n"


def test_the_key_is_shown_to_the_router(dpl: Run, router: Scripted) -> None:
    dpl("get", "nodes", url=router.url, DPL_API_KEY="dpl_secret")

    (path, fields, _), *_ = router.asked
    assert path == "/api/status/all"
    assert fields["authorization"] == "Bearer dpl_secret"


@pytest.mark.parametrize("key", ["dpl_a\ndpl_b", "dpl_a b", "schl\u00fcssel", "\u20ac", "dpl_a\r"])
def test_a_key_that_cannot_be_sent_is_told_in_one_line_without_it(
    dpl: Run, router: Scripted, key: str
) -> None:
    done = dpl("get", "nodes", url=router.url, DPL_API_KEY=key)

    assert done.returncode == 2
    assert "DPL_API_KEY" in done.stderr
    assert key not in done.stderr
    assert done.stderr.count("\n") == 1
    assert router.asked == []


@pytest.mark.parametrize("status", [200, 503])
def test_an_answer_that_breaks_off_is_told_in_one_line(
    dpl: Run, router: Scripted, status: int
) -> None:
    router.status, router.body = status, b"[{"
    router.headers = {"content-length": "1000"}

    done = dpl("get", "nodes", url=router.url)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert router.url in done.stderr


def test_a_refusal_is_the_routers_words_and_the_next_command(dpl: Run, router: Scripted) -> None:
    router.status = 401
    router.body = b'{"status": 401, "detail": "a key is needed here"}'

    done = dpl("get", "nodes", url=router.url)

    assert done.returncode == 1
    assert "a key is needed here" in done.stderr
    assert "DPL_API_KEY" in done.stderr


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b""])
def test_something_that_is_no_router_is_told(dpl: Run, router: Scripted, body: bytes) -> None:
    router.body = body

    done = dpl("get", "nodes", url=router.url)

    assert done.returncode == 1
    assert "is --url right?" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("body", [b'{"nodes": []}', b'["x"]', b'[{"url": "x"}]', b"null"])
def test_a_list_that_is_none_is_told(dpl: Run, router: Scripted, body: bytes) -> None:
    router.body = body

    done = dpl("get", "nodes", url=router.url)

    assert done.returncode == 1
    assert "is --url right?" in done.stderr


def test_a_refused_nodes_file_is_one_line_on_stderr(dpl: Run, router: Scripted) -> None:
    router.bodies["/api/status/all"] = json.dumps(NODES).encode()
    told = {"nodes_file_mistakes": ["nodes.yaml:4:1: no \x1burl", "nodes.yaml:9:1: x"]}
    router.bodies["/api/cluster/overview"] = json.dumps(told).encode()

    done = dpl("get", "nodes", url=router.url)

    assert "gpu-1" in done.stdout
    assert done.stderr == (
        "warning: nodes.yaml:4:1: no url (and 1 more); the old nodes file is in use\n"
    )


def test_a_small_model_has_a_size(dpl: Run, router: Scripted) -> None:
    on = {"node": "a", "name": "s", "size": 98 * 2**20}
    router.body = json.dumps([{"name": "s", "nodes": [on]}]).encode()

    assert "   98M   " in dpl("get", "models", url=router.url).stdout


def test_watching_into_a_pipe_prints_what_changed_and_an_age_alone_is_no_change(
    dpl: Run, router: Scripted
) -> None:
    looks = [json.dumps([{**NODES[0], "age": age}]).encode() for age in (1.0, 3.0)]
    changed = json.dumps([{**NODES[0], "state": "ready"}]).encode()
    router.turns["/api/status/all"] = [*looks, changed, b"null"]  # at last no router any more

    shown = dpl("get", "nodes", "-w", url=router.url).stdout

    assert shown.count("NAME") == 2
    assert "\x1b" not in shown


def test_watching_outlasts_a_restart_of_the_router(dpl: Run, router: Scripted) -> None:
    ready, busy = (json.dumps([{**NODES[0], "state": one}]).encode() for one in ("ready", "busy"))
    router.turns["/api/status/all"] = [ready, None, None, busy, b"null"]

    done = dpl("get", "nodes", "-w", url=router.url)

    assert done.stdout.count("NAME") == 2
    assert done.stderr.count("looking again") == 1


def test_watching_what_never_answered_ends_at_once(dpl: Run, router: Scripted) -> None:
    router.turns["/api/status/all"] = [None]

    done = dpl("get", "nodes", "-w", url=router.url)

    assert done.returncode == 1
    assert "no router answers" in done.stderr


@pytest.mark.parametrize("more", ["/v1", "/?a=b", "#top"])
def test_what_follows_the_address_of_a_router_is_refused_and_not_dropped(
    dpl: Run, router: Scripted, more: str
) -> None:
    done = dpl("get", "nodes", url=router.url + more)

    assert done.returncode == 2
    assert f"is more than an address; write {router.url}\n" in done.stderr
    assert router.asked == []


def test_watching_on_a_terminal_draws_the_table_anew(router: Scripted) -> None:
    nodes = json.dumps(NODES).encode()
    router.turns["/api/status/all"] = [nodes, nodes, b"null"]
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dpl_router", "get", "nodes", "-w", "--url", router.url]

    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE, timeout=60
    )
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)

    assert done.returncode == 1
    assert shown.count(b"\x1b[H\x1b[2JNAME") == 2


def test_a_nodes_words_do_not_move_the_cursor(dpl: Run, router: Scripted) -> None:
    router.body = json.dumps([{**NODES[1], "name": "a\x1b[2J"}]).encode()

    assert "\x1b" not in dpl("get", "nodes", url=router.url).stdout


MODELS = [
    {
        "name": "qwen3:8b",
        "loaded": True,
        "nodes": [
            {
                "node": "gpu-1",
                "name": "Qwen3-8B.gguf",
                "loaded": None,
                "context": None,
                "size": None,
                "digest": None,
            },
            {
                "node": "mac-1",
                "name": "qwen3:8b",
                "loaded": True,
                "context": 16384,
                "size": 5 * 2**30,
                "digest": "0123456789abcdef",
            },
            {
                "node": "mac-2",
                "name": "qwen3:8b",
                "loaded": False,
                "context": None,
                "size": 5 * 2**30,
                "digest": "0123456789abcdef",
            },
        ],
    },
    {"name": "nowhere", "loaded": False, "nodes": []},
]


def test_models_are_shown_with_where_they_are(dpl: Run, router: Scripted) -> None:
    router.body = json.dumps(MODELS).encode()

    lines = dpl("get", "models", url=router.url).stdout.splitlines()
    wide = dpl("get", "models", "-o", "wide", url=router.url).stdout.splitlines()

    assert [[cell.strip() for cell in columns(line)] for line in lines] == [
        ["NAME", "LOADED", "ON DISK", "SIZE", "CONTEXT"],
        ["qwen3:8b", "gpu-1,mac-1", "mac-2", "5.0G", "16384"],
        ["nowhere", "-", "-", "-", "-"],
    ]
    assert [cell.strip() for cell in columns(wide[1])][5:] == ["0123456789ab", "Qwen3-8B.gguf"]
    assert router.asked[0][0] == "/api/models"


def test_a_node_that_does_not_answer_has_nothing_loaded(dpl: Run, router: Scripted) -> None:
    nodes = [{"node": "a", "loaded": True}, {"node": "b", "loaded": None, "online": False}]
    router.body = json.dumps([{"name": "m", "loaded": True, "nodes": nodes}]).encode()

    line = dpl("get", "models", url=router.url).stdout.splitlines()[1]

    assert [cell.strip() for cell in columns(line)][:3] == ["m", "a", "b (offline)"]


def test_models_as_data_are_what_the_router_said(dpl: Run, router: Scripted) -> None:
    router.body = json.dumps(MODELS).encode()

    assert json.loads(dpl("get", "models", "-o", "json", url=router.url).stdout) == MODELS
    assert dpl("get", "models", "-o", "name", url=router.url).stdout == "qwen3:8b\nnowhere\n"


LEASES: list[dict[str, Any]] = [
    {"node": "a", "owner": "x\x1b[1m", "slots": 2, "exclusive": False, "expires_in": 11.8},
    {"node": "a", "owner": "nightly", "slots": 4, "exclusive": True, "expires_in": 3.0},
    {"node": "c", "problem": "unreachable", "owner": None, "slots": None, "expires_in": None},
]


def test_leases_say_who_holds_which_node_and_for_how_long(dpl: Run, router: Scripted) -> None:
    router.body = json.dumps(LEASES).encode()

    lines = dpl("get", "leases", url=router.url).stdout.splitlines()

    assert [[cell.strip() for cell in columns(line)] for line in lines] == [
        ["NODE", "OWNER", "SLOTS", "EXPIRES", "PROBLEM"],
        ["a", "x[1m", "2", "in 12s", "-"],
        ["a", "nightly", "all", "in 3s", "-"],
        ["c", "-", "-", "-", "unreachable"],
    ]
    assert router.asked[0][0] == "/api/leases"
    assert dpl("get", "leases", "-o", "name", url=router.url).stdout == "a\na\nc\n"


def test_a_lease_that_only_runs_on_is_no_change(dpl: Run, router: Scripted) -> None:
    looks = [{**LEASES[0], "expires_in": left} for left in (11.0, 9.0)]
    router.turns["/api/leases"] = [*(json.dumps([look]).encode() for look in looks), b"null"]

    assert dpl("get", "leases", "-w", url=router.url).stdout.count("NODE") == 1
