"""Work on the loop in slices, so that a large fleet's page does not keep a stream waiting."""

import asyncio
import time
from collections.abc import Iterable
from typing import TypeVar

SLICE_SECONDS = 0.002

T = TypeVar("T")


async def sliced(made: Iterable[T]) -> list[T]:
    """All of `made`; after each 2 ms of making it, everybody else on the loop has a turn."""
    done: list[T] = []
    began = time.monotonic()
    for one in made:
        done.append(one)
        if time.monotonic() - began >= SLICE_SECONDS:
            await asyncio.sleep(0)
            began = time.monotonic()
    return done
