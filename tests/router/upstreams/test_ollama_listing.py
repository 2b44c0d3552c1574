"""What the ollama dialect makes of a node's lists."""

import json
from pathlib import Path
from typing import Any

import pytest

from dpl_router.listing import Listed
from dpl_router.upstreams.ollama import OllamaDialect

RECORDINGS = Path(__file__).parents[2] / "recordings" / "ollama"


def recorded(tags: str = "tags.json", ps: str = "ps-three-models.json") -> dict[str, Listed]:
    bodies = [(RECORDINGS / name).read_bytes() for name in (tags, ps)]
    return {one.name: one for one in OllamaDialect().read_models(bodies)}


def test_a_recorded_node_tells_what_is_loaded_and_with_which_context() -> None:
    models = recorded()

    assert models["smollm2:135m"].loaded
    assert models["smollm2:135m"].context == 1024
    assert models["smollm2:135m"].size == 98_362_745
    assert models["smollm2:135m"].details["family"] == "llama"
    assert models["smol-tools:latest"].loaded is False
    assert "tools" in models["smol-tools:latest"].details["capabilities"]
    assert models["tiny-bert:latest"].context == 128
    assert models["tiny-bert:latest"].details["expires_at"].startswith("2026-11-25T")
    assert not any(model.remote for model in models.values())


def test_a_copy_of_a_loaded_model_is_loaded() -> None:
    """`/api/ps` lists one name for each runner."""
    tags = [{"name": "a:latest", "digest": "same"}, {"name": "b:latest", "digest": "same"}]
    bodies = [
        json.dumps({"models": tags}).encode(),
        json.dumps({"models": [{"name": "a:latest", "digest": "same"}]}).encode(),
    ]

    assert all(one.loaded for one in OllamaDialect().read_models(bodies))


def test_without_ps_nothing_is_known_of_what_is_loaded() -> None:
    tags = (RECORDINGS / "tags.json").read_bytes()

    for bodies in ([tags, None], [tags, b"<html>"]):
        assert {one.loaded for one in OllamaDialect().read_models(bodies)} == {None}


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "gpt-oss:120b-cloud"},
        {"name": "qwen3-coder:cloud"},
        {"name": "m", "remote_host": "https://ollama.com"},
        {"name": "m", "remote_model": "m"},
    ],
)
def test_a_model_of_the_cloud_is_remote(entry: dict[str, str]) -> None:
    [model] = OllamaDialect().read_models([json.dumps({"models": [entry]}).encode(), None])

    assert model.remote


@pytest.mark.parametrize("odd", ["x", 7, ["x"], {"a": 1}, True])
@pytest.mark.parametrize(
    "field", ["details", "digest", "size", "modified_at", "capabilities", "parent_model"]
)
def test_a_field_of_another_kind_counts_as_unsaid(field: str, odd: Any) -> None:
    entry = {"name": "a:latest", "digest": "d", field: odd}
    body = json.dumps({"models": [entry, {"name": "b:latest", "digest": "e"}]}).encode()

    one, other = OllamaDialect().read_models([body, body])

    assert (one.name, other.name) == ("a:latest", "b:latest")
    assert one.digest is None or isinstance(one.digest, str)
    assert isinstance(one.details.get("modified_at", ""), str)
    assert isinstance(one.details.get("capabilities", []), list)
    assert isinstance(one.details.get("parent_model", ""), str)


def test_what_a_loaded_model_takes_is_a_number_or_unsaid() -> None:
    running = {"name": "m:latest", "size": "much", "size_vram": [], "expires_at": 7}
    tags, ps = ({"models": [one]} for one in ({"name": "m:latest"}, running))
    [model] = OllamaDialect().read_models([json.dumps(tags).encode(), json.dumps(ps).encode()])

    assert model.loaded
    assert {key for key, said in model.details.items() if said is not None} == set()
