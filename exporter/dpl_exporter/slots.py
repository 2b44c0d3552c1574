"""How many requests this node should run at once: dpl_node_slots and the lease's capacity."""

UNKNOWN_SERVER = 4
"""Slots where nobody says otherwise (the rules assume the same)."""
MOST = 4096
"""A server that claims more is not believed."""


class Slots:
    """What `--slots` says, else what the LLM server said last, else 4."""

    def __init__(self, fixed: int | None) -> None:
        self._fixed = fixed
        self._learned: int | None = None

    def learn(self, slots: int | None) -> None:
        """The server's own limit; None (it does not tell now) keeps what it told before."""
        if slots is not None and 1 <= slots <= MOST:
            self._learned = slots

    def value(self) -> int:
        """At least 1."""
        return self._fixed or self._learned or UNKNOWN_SERVER
