"""Writes that leave together."""

import asyncio

from dpl_router.outbox import ENOUGH, MOST, Outbox


class Paper(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self, pile: list[tuple["Paper", bytes]]) -> None:
        super().__init__()
        self._pile = pile
        self._closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._pile.append((self, bytes(data)))

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True


async def test_what_is_put_in_one_turn_leaves_after_it_in_order() -> None:
    pile: list[tuple[Paper, bytes]] = []
    outbox, a, b = Outbox(asyncio.get_running_loop()), Paper(pile), Paper(pile)

    outbox.put(a, b"1")
    outbox.put(b, b"2")
    outbox.put(a, b"3")
    assert not pile
    await asyncio.sleep(0)

    assert pile == [(a, b"1"), (b, b"2"), (a, b"3")]


async def test_each_turn_has_its_own_end() -> None:
    pile: list[tuple[Paper, bytes]] = []
    outbox, a = Outbox(asyncio.get_running_loop()), Paper(pile)

    for letter in (b"1", b"2"):
        outbox.put(a, letter)
        await asyncio.sleep(0)
        assert pile[-1] == (a, letter)


async def test_a_transport_that_closed_since_gets_nothing_and_the_others_theirs() -> None:
    pile: list[tuple[Paper, bytes]] = []
    outbox, a, b = Outbox(asyncio.get_running_loop()), Paper(pile), Paper(pile)

    outbox.put(a, b"1")
    outbox.put(b, b"2")
    a.close()
    outbox.flush()

    assert pile == [(b, b"2")]


async def test_the_first_of_many_does_not_wait_for_the_last() -> None:
    pile: list[tuple[Paper, bytes]] = []
    outbox, a = Outbox(asyncio.get_running_loop()), Paper(pile)

    for number in range(MOST + 1):
        outbox.put(a, bytes([number]))
    assert len(pile) == MOST
    await asyncio.sleep(0)

    assert [letter for _, letter in pile] == [bytes([number]) for number in range(MOST + 1)]


async def test_who_writes_without_a_pause_fills_no_memory() -> None:
    pile: list[tuple[Paper, bytes]] = []
    outbox, a = Outbox(asyncio.get_running_loop()), Paper(pile)

    for _ in range(100):
        outbox.put(a, bytes(ENOUGH // 4))

    assert len(pile) > 90
