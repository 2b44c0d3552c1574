"""What clients may call a model, and what each node calls it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpl_router.inventory.types import Inventory, Node, RouterOptions
from dpl_router.telemetry.names import Names, own_names


def names(
    listed: Mapping[str, Sequence[str]],
    aliases: Mapping[str, Mapping[str, str]] | None = None,
    contexts: Mapping[str, int] | None = None,
) -> Names:
    nodes = tuple(Node(name, "http://h", aliases=(aliases or {}).get(name, {})) for name in listed)
    made = Names()
    made.learn(listed, Inventory(nodes, RouterOptions(contexts=contexts or {})))
    return made


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("smollm2:135m", "smollm2:135m"),
        ("gemma", "gemma:latest"),
        ("gemma:latest", "gemma:latest"),
        ("GEMMA", "gemma:latest"),
        ("Gemma:Latest", "gemma:latest"),
        ("SMOLLM2:135M", "smollm2:135m"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("qwen/qwen3-8b", "Qwen/Qwen3-8B"),
        ("qwen/qwen3-8b:latest", "Qwen/Qwen3-8B"),
        ("smollm2", "smollm2"),
        ("", ""),
        ("nobody:7b", "nobody:7b"),
    ],
)
def test_a_spelling_finds_the_model_that_it_can_only_mean(asked: str, found: str) -> None:
    known = names({"a": ["gemma:latest", "smollm2:135m"], "b": ["Qwen/Qwen3-8B"]})

    assert known.resolve(asked) == found
    assert known.knows(asked) == (found in known.all())


def test_what_is_spelled_just_so_comes_before_what_is_alike() -> None:
    known = names({"a": ["tiny", "TINY", "Tiny:latest"]})

    assert [known.resolve(name) for name in ("tiny", "TINY", "Tiny:latest")] == [
        "tiny",
        "TINY",
        "Tiny:latest",
    ]


def test_one_name_with_and_without_latest_is_one_model_over_all_nodes() -> None:
    """Ollama lists `tiny:latest` for what others list as `tiny`."""
    known = names({"ollama": ["tiny:latest", "big:latest"], "vllm": ["tiny"]})

    assert known.all() == ["big:latest", "tiny"]
    assert known.resolve("tiny:latest") == "tiny"
    assert known.at("ollama", "tiny").own == "tiny:latest"
    assert known.at("vllm", "tiny").own == "tiny"


def test_an_alias_is_one_name_for_the_same_weights_on_different_kinds_of_server() -> None:
    known = names(
        {"gpu": ["Qwen3-8B-Q4.gguf"], "mac": ["qwen3:8b"]},
        aliases={"gpu": {"qwen3:8b": "Qwen3-8B-Q4.gguf"}},
    )

    assert known.all() == ["Qwen3-8B-Q4.gguf", "qwen3:8b"]
    assert [node for node in ("gpu", "mac") if "qwen3:8b" in known.on(node)] == ["gpu", "mac"]
    assert known.at("gpu", "qwen3:8b").own == "Qwen3-8B-Q4.gguf"
    assert known.at("mac", "qwen3:8b").own == "qwen3:8b"
    assert [name for name, _ in own_names(known.on("gpu"))] == ["Qwen3-8B-Q4.gguf"]


def test_an_alias_may_leave_out_latest_and_one_of_a_model_that_is_not_there_is_none() -> None:
    known = names({"a": ["tiny:latest"]}, aliases={"a": {"small": "tiny", "big": "huge:70b"}})

    assert known.all() == ["small", "tiny:latest"]
    assert known.at("a", "small").own == "tiny:latest"
    assert not known.knows("big")


def test_the_operators_context_holds_under_every_name_of_the_model() -> None:
    known = names(
        {"a": ["tiny:latest"], "b": ["other"]},
        aliases={"a": {"small": "tiny:latest"}},
        contexts={"Tiny": 4096, "small": 8192, "unseen": 2048},
    )

    assert known.at("a", "tiny:latest").context == 4096
    assert known.at("a", "small").context == 8192
    assert known.at("b", "other").context is None
    assert known.at("b", "unseen") == ("unseen", 2048)


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("qwen3", ["qwen3:8b", "qwen3:14b"]),
        ("qwen3:70b", ["qwen3:8b", "qwen3:14b"]),
        ("GEMA:270M", ["gemma:270m"]),
        ("zzz", []),
    ],
)
def test_near_names_are_those_that_may_have_been_meant(asked: str, near: list[str]) -> None:
    known = names({"a": ["qwen3:14b", "qwen3:8b", "gemma:270m"]})

    assert sorted(known.near(asked)) == sorted(near)


@given(
    st.lists(
        st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=6), max_size=8
    ),
    st.data(),
)
def test_every_name_that_a_node_lists_leads_back_to_it(listed: list[str], data: Any) -> None:
    half = data.draw(st.integers(0, len(listed)))
    own = {"a": sorted(set(listed[:half])), "b": sorted(set(listed[half:]))}
    known = names(own)

    for node, all_of_it in own.items():
        for name in all_of_it:
            place = known.at(node, known.resolve(name))

            assert place.own.removesuffix(":latest") == name.removesuffix(":latest")
