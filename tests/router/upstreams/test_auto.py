"""Which dialect a node is spoken to in that did not say what it is."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from dpl_router.conversation import ChatRequest
from dpl_router.errors import RequestRefused, UpstreamBroke
from dpl_router.upstreams.auto import AutoDialect
from dpl_router.upstreams.base import Head

RECORDINGS = Path(__file__).parents[2] / "recordings"
TAGS = (RECORDINGS / "ollama" / "tags.json").read_bytes()
PS = (RECORDINGS / "ollama" / "ps-three-models.json").read_bytes()
UNKNOWN_PATH = b'{"error":"Unexpected endpoint or method. (GET /api/tags)"}'


def models(*owners: str) -> bytes:
    return json.dumps({"data": [{"id": "m", "owned_by": owner} for owner in owners]}).encode()


def spoken(dialect: AutoDialect) -> str:
    call = ChatRequest("r1", "m", b'{"messages":[]}', False, False, 1)
    return dialect.request(call, "m").path


def looked(*bodies: bytes | None) -> AutoDialect:
    dialect = AutoDialect()
    dialect.read_models([*bodies, *[None] * (3 - len(bodies))])
    return dialect


@pytest.mark.parametrize(
    "bodies",
    [
        (models("library"), TAGS, PS),
        (models("library"), None, None),
        (models("bartowski"), TAGS, None),  # of another registry
        (models("somebody"), TAGS, PS),
        (b'{"object":"list","data":null}', b'{"models":[]}', b'{"models":[]}'),
    ],
)
def test_an_ollama_is_known_by_its_lists(bodies: Sequence[bytes | None]) -> None:
    dialect = looked(*bodies)

    assert spoken(dialect) == "/api/chat"
    assert dialect.name == "ollama"


@pytest.mark.parametrize(
    ("owner", "tags", "name"),
    [
        ("vllm", None, "openai"),
        ("vllm", TAGS, "openai"),
        ("llamacpp", TAGS, "llamacpp"),  # it answers Ollama's list, too
        ("organization_owner", UNKNOWN_PATH, "openai"),  # LM Studio: 200 for any path
        ("somebody", UNKNOWN_PATH, "openai"),
        ("somebody", b"<html>", "openai"),
    ],
)
def test_others_are_known_by_who_owns_their_models(
    owner: str, tags: bytes | None, name: str
) -> None:
    dialect = looked(models(owner), tags)

    assert spoken(dialect) == "/v1/chat/completions"
    assert dialect.name == name


def test_what_an_ollama_lists_is_more_than_names() -> None:
    listed = AutoDialect().read_models([models("library"), TAGS, PS])

    assert {one.name: one.context for one in listed}["smollm2:135m"] == 1024


def test_a_node_that_needs_not_be_asked_for_ollamas_list_is_not() -> None:
    dialect = looked(models("vllm"))

    assert [look.path for look in dialect.looks] == ["/v1/models"]
    assert [look.path for look in looked(models("somebody")).looks] == [
        "/v1/models",
        "/api/tags",
        "/api/ps",
    ]


def test_an_answer_is_read_as_it_was_asked_for_though_a_list_came_meanwhile() -> None:
    dialect = AutoDialect()
    call = ChatRequest("r1", "m", b'{"messages":[]}', True, False, 1)
    assert dialect.request(call, "m").path == "/v1/chat/completions"

    dialect.read_models([models("library"), TAGS, PS])
    reader = dialect.decoder(call, "m", Head(200, {"content-type": "text/event-stream"}))

    assert reader.feed(b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n')


def test_a_node_that_becomes_another_is_known_anew() -> None:
    dialect = looked(models("vllm"))

    dialect.read_models([models("library")])
    dialect.read_models([models("library"), TAGS, PS])
    assert dialect.name == "ollama"
    dialect.read_models([models("llamacpp"), TAGS, PS])
    assert dialect.name == "llamacpp"


def test_a_list_without_models_changes_nothing() -> None:
    dialect = looked(models("llamacpp"))

    dialect.read_models([b'{"data":[]}', None, None])

    assert dialect.name == "llamacpp"


def test_what_is_no_list_of_models_is_not_taken_for_an_empty_one() -> None:
    with pytest.raises(UpstreamBroke):
        looked(UNKNOWN_PATH, TAGS, PS)


def test_a_llama_cpp_that_is_known_is_asked_what_its_template_can() -> None:
    dialect = looked(models("llamacpp"), TAGS, PS)
    props = b'{"chat_template_caps":{"supports_tools":true},"modalities":{"vision":true}}'

    (listed,) = dialect.read_models([models("llamacpp"), props])

    assert [look.path for look in dialect.looks] == ["/v1/models", "/props"]
    assert listed.details["capabilities"] == ["completion", "tools", "vision"]


def test_another_kind_in_a_llama_cpps_place_is_known_by_the_next_full_look() -> None:
    dialect = looked(models("llamacpp"))

    dialect.read_models([models("library"), b'{"props":1}'])

    assert dialect.name == "ollama"
    assert [one.name for one in dialect.read_models([models("library"), TAGS, PS])]


@pytest.mark.parametrize(
    ("bodies", "said"),
    [
        ((models("library"), TAGS, PS), b'{"error":"\\"m\\" does not support tools"}'),
        ((models("llamacpp"),), b'{"error":{"message":"\'messages\' is required"}}'),
    ],
)
def test_a_500_that_is_the_requests_fault_is_known_of_each_kind(
    bodies: Sequence[bytes | None], said: bytes
) -> None:
    assert isinstance(looked(*bodies).refusal(Head(500, {}), said), RequestRefused)
