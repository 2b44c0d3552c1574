"""How many wrong keys one address may try before the answer is 429."""

from collections import OrderedDict, deque
from collections.abc import Callable

ALLOWED = 100
WINDOW = 60.0
MAX_ADDRESSES = 1024


class WrongKeys:
    """Wrong keys of the last minute per peer address; at most 1,024 addresses are remembered.

    It makes guessing loud and each guess past the hundredth a 429; it does not end it: a right key
    is always let in, so that a stranger behind the same address cannot lock anybody out. What
    keeps a key from being guessed is its 256 random bits (`dpl key new`). A try that was answered
    with 429 does not count.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()

    @property
    def remembered(self) -> int:
        """How many addresses."""
        return len(self._tries)

    def count(self, address: str) -> float | None:
        """Note a wrong key. Seconds to wait where there were too many already, else None."""
        now = self._now()
        tries = self._tries.setdefault(address, deque(maxlen=ALLOWED))
        self._tries.move_to_end(address)
        if len(self._tries) > MAX_ADDRESSES:
            self._tries.popitem(last=False)
        if len(tries) == ALLOWED and now - tries[0] < WINDOW:
            return WINDOW - (now - tries[0])
        tries.append(now)
        return None
