"""Locks that begin and end at the same time: each taker hears of its own lock only."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dpl_router.control import Control
from dpl_router.errors import Conflict
from dpl_router.nodes.locks import Locks
from tests.exporter.process import Running as Exporter
from tests.exporter.process import running as exporter_of
from tests.fakes.router import until


class World:
    """`busy`: answers of ours that run on node a; a lock waits for them."""

    def __init__(self, exporter: Exporter, control: Control) -> None:
        self.exporter = exporter
        self.busy = 1
        self.locks = Locks({"a": control}, {}, lambda _: self.busy, "us", lambda: 15.0)

    def holders(self) -> list[str]:
        lock: Any = self.exporter.call("GET", "/status").json()["lock"]
        return [one["owner"] for one in lock["holders"]]

    def waiting(self, who: str, patience: float) -> asyncio.Task[object]:
        return asyncio.create_task(self.locks.take("a", who, "", patience))


@contextmanager
def an_exporter(folder: Path) -> Iterator[Exporter]:
    with exporter_of(folder, "--data-dir", str(folder)) as exporter:
        yield exporter


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    with an_exporter(folder) as exporter:
        control = Control(exporter.url)
        try:
            yield World(exporter, control)
        finally:
            await control.close()


async def test_a_lock_that_is_let_go_of_while_it_is_waited_for_is_not_told_as_taken(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        ann = here.waiting("ann", 10.0)
        await until(here.locks.nodes)
        released = await here.locks.release("a")
        here.busy = 0
        with pytest.raises(Conflict, match="unlocked while its lock was waited for"):
            await asyncio.wait_for(ann, 5)

        assert released
        assert here.locks.nodes() == frozenset()
        assert here.holders() == []


async def test_who_gives_up_ends_no_lock_of_the_next(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        ann = here.waiting("ann", 10.0)
        await until(here.locks.nodes)
        await here.locks.release("a")
        bob = here.waiting("bob", 10.0)
        await asyncio.sleep(0)
        with pytest.raises(Conflict):
            await asyncio.wait_for(ann, 5)
        during = here.locks.on("a")
        here.busy = 0
        taken = await asyncio.wait_for(bob, 5)

        assert during is not None
        assert during.by == "bob"
        assert taken is here.locks.on("a")
        assert here.holders() == ["us:lock:bob"]


async def test_a_lock_that_is_let_go_of_while_the_exporter_answers_is_given_back(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        here.busy = 0
        ann = here.waiting("ann", 10.0)
        await asyncio.sleep(0)  # its question is on the way
        await here.locks.release("a")
        with pytest.raises(Conflict):
            await asyncio.wait_for(ann, 5)

        assert here.holders() == []
