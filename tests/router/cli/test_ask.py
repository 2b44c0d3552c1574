"""`dpl ask`: text on stdout, node and speed on stderr."""

import json
from typing import Any

import pytest

from tests.router.cli.conftest import Run, Scripted


def event(content: str | None = None, **fields: Any) -> bytes:
    delta = {} if content is None else {"content": content}
    chunk = {"choices": [{"index": 0, "delta": delta}], **fields}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


USAGE = event(choices=[], usage={"completion_tokens": 2})
DONE = b"data: [DONE]\n\n"


def test_the_answer_is_data_and_the_rest_is_talk(dpl: Run, router: Scripted) -> None:
    router.headers = {"x-dpl-node": "gpu-1"}
    router.body = b": still waiting\n\n" + event("Hel") + event("lo\u2028you") + USAGE + DONE

    done = dpl("ask", "qwen3:14b", "Say hello", url=router.url)

    assert done.returncode == 0
    assert done.stdout == "Hello\u2028you\n".replace("\u2028", "")
    assert done.stderr.startswith("node gpu-1, ")
    assert "first token" in done.stderr
    ((path, _, body),) = router.asked
    assert path == "/v1/chat/completions"
    assert json.loads(body)["messages"] == [{"role": "user", "content": "Say hello"}]
    assert json.loads(body)["stream"] is True


def test_the_longest_answer_is_the_callers_to_say(dpl: Run, router: Scripted) -> None:
    router.body = event("a") + DONE

    dpl("ask", "auto", "x", url=router.url)
    dpl("ask", "auto", "x", "--max-tokens", "7", url=router.url)
    refused = dpl("ask", "auto", "x", "--max-tokens", "0", url=router.url)

    assert [json.loads(body).get("max_tokens") for _, _, body in router.asked] == [None, 7]
    assert refused.returncode == 2


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (b"", "broke off before its end"),
        (b'data: {"error": {"message": "the node died", "code": "upstream_broke"}}\n\n', "died"),
        (b"data: {broken\n\n", "no JSON"),
        (b"data: 1\n\n", "no object"),
    ],
)
def test_half_an_answer_is_no_success(dpl: Run, router: Scripted, rest: bytes, said: str) -> None:
    router.body = event("Hel") + rest

    done = dpl("ask", "auto", "Say hello", url=router.url)

    assert done.returncode == 1
    assert done.stdout.startswith("Hel")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (404, {}, "`dpl get models`"),
        (503, {"retry-after": "7"}, "try again in 7 s"),
        (502, {}, "`dpl get nodes`"),
    ],
)
def test_a_refusal_names_the_next_command(
    dpl: Run, router: Scripted, status: int, headers: dict[str, str], said: str
) -> None:
    router.status, router.headers = status, headers
    router.body = b'{"error": {"message": "no such model \\u001b[2J here.", "code": "x"}}'

    done = dpl("ask", "auto", "Say hello", url=router.url)

    assert done.returncode == 1
    assert "no such model [2J here (" in done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_events_of_other_shapes_are_passed_over(dpl: Run, router: Scripted) -> None:
    odd = (event(choices=[1]), event(choices=[{}]), event(choices=[{"delta": {"content": [1]}}]))
    router.body = event("a") + b"".join(odd) + DONE

    assert dpl("ask", "auto", "x", url=router.url).stdout == "a\n"


def test_the_model_cannot_move_the_cursor(dpl: Run, router: Scripted) -> None:
    router.body = event("a\x1b[2Jb\tc\nd") + DONE

    assert dpl("ask", "auto", "x", url=router.url).stdout == "a[2Jb\tc\nd\n"
