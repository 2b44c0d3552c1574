"""`dpl load`, `dpl unload`, `dpl pull`: what is done is asked of the router, and said on stderr."""

import json

import pytest

from tests.router.cli.conftest import Run, Scripted


def lines(*progress: object) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in progress)


def test_a_model_with_slashes_is_loaded_where_it_was_said(dpl: Run, router: Scripted) -> None:
    router.body = b'{"node": "gpu-1", "model": "org/big:7b", "seconds": 3.21}'

    done = dpl("load", "org/big:7b", "--on", "gpu-1", url=router.url)

    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr == "org/big:7b is loaded on gpu-1 in 3.2 s\n"
    assert router.asked[0][0] == "/api/models/start/org/big:7b?node=gpu-1"


@pytest.mark.parametrize(
    ("nodes", "kept", "said"),
    [
        (["a", "b"], [], "tiny is unloaded on a, b\n"),
        ([], [], "tiny was loaded nowhere\n"),
        (["a"], ["c"], "tiny is unloaded on a\nstill loaded on c: its server keeps it\n"),
        (
            ["a"],
            ["c", "d"],
            "tiny is unloaded on a\nstill loaded on c, d: their servers keep it\n",
        ),
    ],
)
def test_where_a_model_was_let_go_of_is_told(
    dpl: Run, router: Scripted, nodes: list[str], kept: list[str], said: str
) -> None:
    router.body = json.dumps({"model": "tiny", "nodes": nodes, "kept": kept}).encode()

    done = dpl("unload", "tiny", url=router.url)

    assert done.stderr == said
    assert router.asked[0][0] == "/api/models/unload/tiny"


def test_the_steps_of_a_pull_are_told_once_each_where_there_is_no_terminal(
    dpl: Run, router: Scripted
) -> None:
    layer = {"status": "pulling 0123", "digest": "sha256:0123", "total": 10}
    router.body = lines(
        {"status": "pulling manifest"},
        layer,
        {**layer, "completed": 10},
        {"status": "success"},
    )

    done = dpl("pull", "new:1b", "--on", "mac", url=router.url)

    assert done.returncode == 0
    assert done.stderr == "pulling manifest\npulling 0123\nnew:1b is there\n"
    assert router.asked[0][0] == "/api/pull"
    assert json.loads(router.asked[0][2]) == {"model": "new:1b", "node": "mac"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (lines({"status": "pulling manifest"}), "the pull ended before its end"),
        (
            lines({"status": "x"}, {"error": "no space left\x1b"}),
            "pulling new:1b on mac failed: no space left; ",
        ),
        (b"<html>", "is --url right?"),
        (lines([1]), "is --url right?"),
    ],
)
def test_a_pull_that_failed_is_no_success(
    dpl: Run, router: Scripted, body: bytes, said: str
) -> None:
    router.body = body

    done = dpl("pull", "new:1b", "--on", "mac", url=router.url)

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("verb", ["load", "unload", "pull"])
def test_a_refusal_is_the_routers_words(dpl: Run, router: Scripted, verb: str) -> None:
    router.status = 404
    router.body = b'{"detail": "no node has the model \'x\'; did you mean y?", "status": 404}'

    done = dpl(verb, "x", url=router.url)

    assert done.returncode == 1
    assert "did you mean y?" in done.stderr
    assert "dpl get" not in done.stderr  # one hint is enough


@pytest.mark.parametrize(
    ("status", "said", "hint"),
    [
        (404, "no node has the model 'x'; GET /v1/models lists all", "`dpl get models` lists"),
        (404, "there is no node 'mars'; GET /api/status/all lists them", "`dpl get nodes` lists"),
        (
            403,
            "this needs a key of role operator; yours is user",
            "--role operator --keys-file FILE`",
        ),
        (
            401,
            "this needs a key; send it as Authorization: Bearer KEY",
            "--role operator --keys-file FILE`",
        ),
    ],
)
def test_a_refusal_has_one_hint_and_it_is_the_right_command(
    dpl: Run, router: Scripted, status: int, said: str, hint: str
) -> None:
    router.status, router.body = status, json.dumps({"detail": said}).encode()

    done = dpl("load", "x", "--on", "mars", url=router.url)

    assert said.partition("; GET")[0].partition("; send")[0] in done.stderr
    assert hint in done.stderr
    assert "GET /" not in done.stderr
    assert "send it as" not in done.stderr


@pytest.mark.parametrize("verb", ["load", "unload"])
@pytest.mark.parametrize("body", [b"[]", b"<html>"])
def test_something_that_is_no_router_is_told(
    dpl: Run, router: Scripted, verb: str, body: bytes
) -> None:
    router.body = body

    done = dpl(verb, "x", url=router.url)

    assert done.returncode == 1
    assert "is --url right?" in done.stderr
