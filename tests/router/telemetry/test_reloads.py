"""Why a model was loaded: told from the looks before the request."""

import json
from collections.abc import Mapping

import pytest

from dpl_router.conversation import Api, ChatRequest
from dpl_router.listing import Listed
from dpl_router.metrics import LoadCause
from dpl_router.telemetry.reloads import KEPT, Reloads, named_context


def a_call(
    num_ctx: object = None, *, api: Api = "ollama.chat", context: int | None = None
) -> ChatRequest:
    body = {"model": "m", **({"options": {"num_ctx": num_ctx}} if num_ctx is not None else {})}
    return ChatRequest(
        "r", "m", json.dumps(body).encode(), False, False, 1, api=api, context=context
    )


def seen(*looks: Mapping[str, int | bool | None]) -> Reloads:
    """One look a second from 1.0 on: model -> its context, True (loaded, context untold), False."""
    reloads = Reloads()
    for at, look in enumerate(looks, 1):
        models = [
            Listed(
                name,
                None if said is None else bool(said),
                said if said and said is not True else None,
            )
            for name, said in look.items()
        ]
        reloads.looked("a", models, float(at))
    return reloads


@pytest.mark.parametrize(
    ("looks", "num_ctx", "why"),
    [
        ([], None, "cold"),
        ([{"m": False}], None, "cold"),
        ([{"m": None}], None, "cold"),
        ([{"m": 4096}], None, "lost"),
        ([{"m": 4096}], 4096, "lost"),
        ([{"m": 4096}], 8192, "context"),
        ([{"m": True}], 8192, "lost"),
        ([{"m": 4096, "n": False}, {"m": False, "n": 512}], None, "evicted"),
        ([{"m": 4096, "n": 512}, {"m": False, "n": 512}], None, "expired"),
        ([{"m": 4096}, {"m": False}, {"m": False}], 8192, "expired"),
        ([{"m": 4096}, {"m": 8192}], 8192, "lost"),
    ],
)
def test_the_cause_is_what_the_last_look_before_the_request_says(
    looks: list[dict[str, int | bool | None]], num_ctx: int | None, why: LoadCause
) -> None:
    assert seen(*looks).why("a", "m", a_call(num_ctx), 10.0) == why


def test_what_was_seen_after_the_request_began_says_nothing_of_it() -> None:
    reloads = seen({"m": 4096}, {"m": 8192})

    assert reloads.why("a", "m", a_call(8192), 1.5) == "context"


def test_few_changes_are_kept_and_those_of_a_node_that_left_are_not() -> None:
    reloads = seen(*({"m": 1024 * (1 + at % 2)} for at in range(10 * KEPT)))

    assert len(reloads._changes["a"]["m"]) == KEPT

    reloads.forget({"b"})

    assert reloads.why("a", "m", a_call(), 1e9) == "cold"


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (a_call(), None),
        (a_call(2048), 2048),
        (a_call(2048, context=4096), 4096),
        (a_call(8192, context=4096), 8192),
        (a_call("x"), None),
        (a_call(2048, api="openai.chat"), None),
        (ChatRequest("r", "m", b"[]", False, False, 1, api="ollama.chat"), None),
        (ChatRequest("r", "m", b"\xff", False, False, 1, api="ollama.chat"), None),
    ],
)
def test_only_an_ollama_client_names_a_context(call: ChatRequest, named: int | None) -> None:
    assert named_context(call) == named
