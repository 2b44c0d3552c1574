"""One name, one model: where nodes have different weights under one name, one of them counts: those
that nodes.yaml pins, else those that the most nodes have.

What differs for certain is judged, nothing else: the digest of the weights, as exporters tell it,
and among Ollama nodes the quantisation that they list. Digests of Ollama's manifests are not: they
differ between versions of Ollama for the same file. What is not known is never left out. Pure.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import NamedTuple

UNTOLD = frozenset({"", "unknown"})


class Told(NamedTuple):
    """What a node says that a model is; None = it does not say."""

    weights: str | None = None
    quantisation: str | None = None


def told(weights: object, quantisation: object) -> Told | None:
    """None where neither says anything."""
    said = Told(_word(weights), _word(quantisation))
    return said if any(said) else None


def _word(said: object) -> str | None:
    return said if isinstance(said, str) and said not in UNTOLD else None


class Identities:
    """Remembers which came first, for where there is no majority."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], int] = {}
        self._numbers = count()

    def odd(
        self, fleet: Mapping[str, Mapping[str, Told]], pinned: Mapping[str, str]
    ) -> dict[str, frozenset[str]]:
        """Model -> the nodes that are left out of it; only models of which there are any.

        `fleet`: model -> node -> what it says; the nodes in an order that stays. `pinned`: model ->
        the weights that its name stands for, whoever has them.
        """
        self._remember(fleet)
        odd = {model: self._odd(model, nodes, pinned.get(model)) for model, nodes in fleet.items()}
        return {model: nodes for model, nodes in odd.items() if nodes}

    def _odd(self, model: str, nodes: Mapping[str, Told], pinned: str | None) -> frozenset[str]:
        """First by the weights; of those that are left by the quantisation."""

        def age(word: str) -> int:
            return self._first[model, word]

        weights = {node: said.weights for node, said in nodes.items()}
        odd = others(weights, pinned) if pinned is not None else minority(weights, age)
        rest = {node: said.quantisation for node, said in nodes.items() if node not in odd}
        return odd | minority(rest, age)

    def _remember(self, fleet: Mapping[str, Mapping[str, Told]]) -> None:
        """What nobody says any more is forgotten."""
        known, self._first = self._first, {}
        for model, nodes in fleet.items():
            for pair in _pairs(model, nodes.values()):
                if pair not in self._first:
                    number = known.get(pair)
                    self._first[pair] = next(self._numbers) if number is None else number


def _pairs(model: str, said: Iterable[Told]) -> Iterable[tuple[str, str]]:
    return ((model, word) for one in said for word in one if word is not None)


def minority(words: Mapping[str, str | None], age: Callable[[str], int]) -> frozenset[str]:
    """The nodes with another word than the most have; of equals the one of the lowest `age`."""
    votes = Counter(word for word in words.values() if word is not None)
    if len(votes) < 2:
        return frozenset()
    return others(words, min(votes, key=lambda word: (-votes[word], age(word))))


def others(words: Mapping[str, str | None], kept: str) -> frozenset[str]:
    """The nodes that say another word."""
    return frozenset(node for node, word in words.items() if word not in (None, kept))
