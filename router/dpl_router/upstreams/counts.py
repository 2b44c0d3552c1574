"""What a node counted and measured, as far as it can be true: a number of others may be any.

The client reads the node's own words; this is what the router itself reckons with.
"""

from dpl_router.conversation import Usage
from dpl_router.scheduling.speed import SECONDS_MAX, TOKENS_MAX


def tokens(said: int | None) -> int | None:
    """None where no answer can have so many."""
    return said if said is not None and 0 <= said <= TOKENS_MAX else None


def seconds(said: float | None, per_second: float) -> float | None:
    """Of a time in units of which a second has `per_second`; None where no answer takes so long."""
    if said is None or not 0 <= said <= SECONDS_MAX * per_second:
        return None
    return said / per_second


def usage(prompt: int | None, completion: int | None, cached: int | None = None) -> Usage:
    """`cached` are some of `prompt`."""
    prompt = tokens(prompt)
    if cached is not None and (prompt is None or not 0 <= cached <= prompt):
        cached = None
    return Usage(prompt, tokens(completion), cached)
