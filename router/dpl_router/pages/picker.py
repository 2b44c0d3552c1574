"""The model picker's words: where each model answers from, and which have to load first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dpl_router.fleet.schemas import ModelStatus

FEW = 3
"""So many nodes are named."""


@dataclass(frozen=True, slots=True)
class Choice:
    model: str
    text: str
    at_once: bool
    """Some node has it in memory, or serves what it lists without saying so."""


def choices(models: Iterable[ModelStatus]) -> Sequence[Choice]:
    """In the order of `models`, without those of which every node says that they cannot chat."""
    return [_choice(model) for model in models if _chats(model)]


def _chats(model: ModelStatus) -> bool:
    known = [each.capabilities for each in model.nodes]
    return not known or any(words is None or "completion" in words for words in known)


def _choice(model: ModelStatus) -> Choice:
    nodes = {
        word: [each.node for each in model.nodes if each.loaded is loaded]
        for word, loaded in (("loaded on", True), ("on", None), ("installed on", False))
    }
    where = ", ".join(f"{word} {_named(names)}" for word, names in nodes.items() if names)
    at_once = any(each.loaded is not False for each in model.nodes)
    return Choice(model.name, f"{model.name} — {where}" if where else model.name, at_once)


def _named(nodes: Sequence[str]) -> str:
    more = len(nodes) - FEW
    return ", ".join(nodes[:FEW]) + (f" and {more} more" if more > 0 else "")
