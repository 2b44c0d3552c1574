"""Who serves which model, and each one's candidates: made when asked for, kept until stale.

A decision so costs what has changed since the last one, plus the arithmetic.
"""

from collections.abc import Iterable, Sequence
from zlib import crc32

from dpl_router.scheduling.node import Node
from dpl_router.scheduling.queueing import PER_SLOT
from dpl_router.scheduling.speed import OUTPUT_PRIOR
from dpl_router.scheduling.types import Candidate, View

Pair = tuple[Node, str]


class Seats:
    """One model's candidates, each made when it is asked for and then kept until it is stale."""

    def __init__(self, pairs: Sequence[Pair], absent: Sequence[str]) -> None:
        self.listed = any(model for _, model in pairs)
        self.pairs = sorted(pairs, key=_spread)
        self.absent = tuple(absent)
        self.limit = PER_SLOT * sum({node.id: node.slots for node, _ in pairs}.values())
        self._rows: list[Candidate | None] = [None] * len(pairs)
        self._stale = list(range(len(pairs)))
        """Places of `pairs` whose node changed: the node itself writes them here."""
        self._view: View | None = None

    def view(self, queue: tuple[str, ...], output: float, now: float) -> View:
        view = self._view
        if view is None or self._stale or view.queue != queue or view.output != output:
            rows = self._candidates(now)
            # As a NamedTuple makes itself, but for a Python call that costs more than the rest.
            view = self._view = tuple.__new__(
                View, (rows, self.absent, self.listed, queue, self.limit, output)
            )
        return view

    def _candidates(self, now: float) -> tuple[Candidate, ...]:
        for place in self._stale:
            node, model = self.pairs[place]
            self._rows[place] = node.candidate(model, now)
            node.readers.append((self._stale, place))
        self._stale.clear()
        return tuple(self._rows)  # type: ignore[arg-type] # at first all places are stale


def _spread(pair: Pair) -> tuple[int, str, str]:
    node, model = pair
    return crc32(node.id.encode()), node.id, model


class Roster:
    """A fleet as its facts are now; new facts make a new one."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        fleet = list(nodes)
        serving: dict[str, list[Node]] = {}
        for node in fleet:
            for model in node.facts.models:
                serving.setdefault(model, []).append(node)
        unknown = [node for node in fleet if not node.facts.inventory_known]
        self._seats = {
            model: Seats([(node, model) for node in able], _missing(fleet, able))
            for model, able in serving.items()
        }
        self._seats[""] = Seats(_anything(fleet) or [(node, "") for node in unknown], ())
        self._strangers = Seats([(node, "") for node in unknown], _missing(fleet, unknown))
        self.models = frozenset(self._seats)
        """All that are listed, and the empty name."""

    def view(self, model: str, queue: tuple[str, ...], output: float, now: float) -> View:
        seats = self._seats.get(model)
        if seats is None:
            return self.strangers(now)._replace(queue=queue)
        return seats.view(queue, output, now)

    def strangers(self, now: float) -> View:
        """For a model that nobody lists: those of whom nobody knows what they serve."""
        return self._strangers.view((), OUTPUT_PRIOR, now)

    def limit(self, model: str) -> int:
        """How many requests for the model may be held."""
        return self._seats.get(model, self._strangers).limit


def _missing(fleet: Sequence[Node], serving: Sequence[Node]) -> list[str]:
    names = {node.id for node in serving}
    return [node.id for node in fleet if node.id not in names]


def _anything(fleet: Sequence[Node]) -> list[Pair]:
    """For a demand of no model: those loaded, or else whatever is listed."""
    listed = [(node, model) for node in fleet for model in node.facts.models]
    loaded = [pair for pair in listed if pair[0].facts.models[pair[1]].loaded is not False]
    return loaded or listed
