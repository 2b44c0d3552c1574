"""The usual ports where they are free, else the next ones."""

import socket
from collections.abc import Iterator

import pytest

from dpl_router.stack.ports import USUAL, Ports, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_port_somebody_listens_on_is_not_free(taken: int) -> None:
    assert not is_free(taken)


def test_a_port_that_was_just_closed_is_free() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]

    assert is_free(port)


def test_no_port_is_given_twice() -> None:
    ports = Ports()

    given = [ports.take("exporter") for _ in range(5)]

    assert len(set(given)) == 5


def test_no_part_takes_the_usual_port_of_another() -> None:
    ports = Ports(given=set(range(8000, 8001)))

    assert ports.take("router") not in USUAL.values()


def test_a_port_that_is_not_the_usual_one_is_said() -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_free(USUAL["alertmanager"]):
            holder.bind(("127.0.0.1", USUAL["alertmanager"]))
            holder.listen()
        ports = Ports()

        port = ports.take("alertmanager")

    assert ports.moved == [f"port 9093 is taken: alertmanager listens on {port}"]
