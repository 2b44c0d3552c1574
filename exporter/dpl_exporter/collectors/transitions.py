"""How often a server was seen to load and to unload each model, since the exporter started."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from dpl_exporter.collectors.base import clean
from dpl_exporter.collectors.models import Model

KEPT = 1000
"""Names whose counts are kept although the server lists them no more."""


class Transitions:
    """Told of each look what is loaded, with which context (None = not told).

    A context that changed is a reload: the server has started the model anew for it. What lasts
    less than the time between two looks is not seen.
    """

    def __init__(self) -> None:
        self._before: Mapping[str, float | None] | None = None
        self._loads: Counter[str] = Counter()
        self._unloads: Counter[str] = Counter()

    def look(self, loaded: Mapping[str, float | None], installed: Iterable[str]) -> None:
        """What is not `installed` keeps its counts: a list may be empty once, or cut short.

        Beyond 1000 names the ones that were counted first are forgotten.
        """
        loaded = {clean(name): context for name, context in loaded.items()}
        before = loaded if self._before is None else self._before
        reloaded = {
            name
            for name in before.keys() & loaded.keys()
            if None not in (pair := (before[name], loaded[name])) and pair[0] != pair[1]
        }
        self._loads.update(loaded.keys() - before.keys() | reloaded)
        self._unloads.update(before.keys() - loaded.keys() | reloaded)
        self._before = loaded
        here = set(map(clean, installed))
        for counts in (self._loads, self._unloads):
            gone = [name for name in counts if name not in here]
            for name in gone[: max(0, len(gone) - KEPT)]:
                del counts[name]

    def counted(self, models: Sequence[Model]) -> list[Model]:
        """Look at these, and say it of each."""
        loaded = {one.name: one.context for one in models if one.loaded}
        self.look(loaded, installed=[one.name for one in models])
        return [
            replace(one, loads=self.loads(one.name), unloads=self.unloads(one.name))
            for one in models
        ]

    def loads(self, name: str) -> int:
        return self._loads[clean(name)]

    def unloads(self, name: str) -> int:
        return self._unloads[clean(name)]
