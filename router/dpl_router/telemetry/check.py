"""The router's own look at a node: it answered, and what it serves."""

from dataclasses import dataclass

from dpl_router.listing import Listed


@dataclass(frozen=True, slots=True)
class Check:
    """Made of what the node's model server says when it is asked for its list."""

    ok: bool
    models: tuple[Listed, ...] = ()
    problem: str | None = None
    """Why not, for people; None where it answered."""
    at: float = 0.0
    """When it was said what it serves, on the monotonic clock."""
    dialect: str = ""
    """In which it was spoken to."""
    stranger: bool = False
    """It answers, but with no list: it may be of another kind."""

    @property
    def serves(self) -> frozenset[tuple[str, bool | None, int | None]]:
        """What of it the choice of a node goes by."""
        return frozenset((model.name, model.loaded, model.context) for model in self.models)
