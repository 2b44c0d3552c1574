"""Which nodes are left out of a model since theirs has other weights: judged when somebody asks
after a change.

What counts as other is in `identity.py`; here is what the fleet says.
"""

from collections.abc import Mapping

from dpl_router.inventory.aliases import untagged
from dpl_router.inventory.types import Inventory
from dpl_router.listing import Listed
from dpl_router.telemetry.identity import Identities, Told, told
from dpl_router.telemetry.lists import Lists
from dpl_router.telemetry.sample import PeopleSample

QUANTISATION = "quantization_level"
"""In what Ollama lists of a model."""


class OddNodes:
    """`people`: the view's own, as it changes."""

    def __init__(self, lists: Lists, people: Mapping[str, PeopleSample]) -> None:
        self._lists = lists
        self._people = people
        self._identities = Identities()
        self._odd: dict[str, frozenset[str]] | None = {}
        """None = to be judged anew."""

    def judge_anew(self) -> None:
        self._odd = None

    def on_people(self, before: PeopleSample | None, now: PeopleSample) -> None:
        if before is None or now.weights != before.weights:
            self._odd = None

    def on_look(self, before: Mapping[str, Listed], now: Mapping[str, Listed]) -> None:
        if _quantisations(before) != _quantisations(now):
            self._odd = None

    def odd(self, inventory: Inventory) -> Mapping[str, frozenset[str]]:
        """Model -> the nodes on which its name means other weights; only where there are any."""
        if self._odd is None:
            said: dict[str, dict[str, Told]] = {}
            for node in inventory.nodes:
                for name, (own, _) in self._lists.names.on(node.name).items():
                    word = self._told(node.name, own)
                    if word is not None:
                        said.setdefault(name, {})[node.name] = word
            pinned = inventory.weights
            pins = {name: pinned[untagged(name)] for name in said if untagged(name) in pinned}
            self._odd = self._identities.odd(said, pins)
        return self._odd

    def _told(self, node: str, own: str) -> Told | None:
        people, look = self._people.get(node), self._lists.look(node).get(own)
        return told(
            people.weights.get(own) if people is not None else None,
            look.details.get(QUANTISATION) if look is not None and look.digest else None,
        )


def _quantisations(look: Mapping[str, Listed]) -> dict[str, object]:
    return {name: model.details.get(QUANTISATION) for name, model in look.items()}
