"""The model picker says where each model is, and which must be waited for."""

import pytest

from dpl_router.fleet.schemas import ModelOnNode, ModelStatus
from dpl_router.pages.picker import choices


def a_model(**nodes: bool | None) -> ModelStatus:
    on = [ModelOnNode(node, "own", loaded, None, None, None) for node, loaded in nodes.items()]
    return ModelStatus("qwen3", any(nodes.values()), on)


def able(*capabilities: list[str] | None) -> ModelStatus:
    on = [
        ModelOnNode(str(at), "own", True, None, None, None, capabilities=words)
        for at, words in enumerate(capabilities)
    ]
    return ModelStatus("some", True, on)


@pytest.mark.parametrize(
    ("model", "offered"),
    [
        (able(["embedding"]), False),
        (able(["embedding"], ["embedding"]), False),
        (able(["completion", "tools"]), True),
        (able(["embedding"], None), True),
        (able(None), True),
    ],
)
def test_what_cannot_chat_is_not_offered(model: ModelStatus, offered: bool) -> None:
    assert bool(choices([model])) is offered


@pytest.mark.parametrize(
    ("model", "text", "at_once"),
    [
        (a_model(gpu=True, mac=False), "qwen3 — loaded on gpu, installed on mac", True),
        (a_model(mac=False), "qwen3 — installed on mac", False),
        (a_model(vllm=None, gpu=True), "qwen3 — loaded on gpu, on vllm", True),
        (a_model(vllm=None), "qwen3 — on vllm", True),
        (a_model(), "qwen3", False),
        (
            a_model(a=True, b=True, c=True, d=True, e=True),
            "qwen3 — loaded on a, b, c and 2 more",
            True,
        ),
    ],
)
def test_where_a_model_is_stands_beside_its_name(
    model: ModelStatus, text: str, at_once: bool
) -> None:
    (choice,) = choices([model])

    assert (choice.text, choice.at_once) == (text, at_once)
