"""A changed nodes.yaml is applied whole or not at all, and what leaves is closed in the end."""

import asyncio
import ssl
import time
from pathlib import Path

import pytest
import structlog.testing

from dpl_router.errors import NotFound
from dpl_router.fittings import BREATH
from dpl_router.inventory.types import Inventory, Node, Tls
from dpl_router.listing import Listed
from dpl_router.scheduling.types import Demand, Outcome, OutcomeKind, Rejection
from tests.fakes.router import until
from tests.fakes.wire import Peer, served
from tests.router.fitted import Fitted, fitted

DEAD = "http://127.0.0.1:9"


async def test_a_file_whose_certificates_are_none_is_refused_and_the_old_one_stays(
    tmp_path: Path,
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    async with fitted(tmp_path, {"a": DEAD}) as it:
        client = it.fittings.clients["a"]
        it.write({"a": {"url": "https://h", "tls": {"ca": "ca.pem"}}, "b": DEAD})
        await it.fittings.reload()

        assert it.reloaded == 0
        assert it.fittings.clients == {"a": client}


async def test_a_node_that_cannot_be_made_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """A TLS file may be replaced between the reading of nodes.yaml and its use."""
    async with fitted(tmp_path, {"a": DEAD, "b": DEAD}) as it:
        before = it.fittings.inventory, dict(it.fittings.clients)
        bad = Node("c", "https://h", tls=Tls(ca=tmp_path / "nodes.yaml"))
        with pytest.raises(ssl.SSLError):
            it.fittings.apply(Inventory((Node("a", "http://127.0.0.1:10"), bad)))

        assert (it.fittings.inventory, it.fittings.clients) == before


async def test_a_changed_lease_time_reaches_nodes_that_did_not_change(tmp_path: Path) -> None:
    nodes = {"a": {"url": DEAD, "exporter": DEAD}}
    async with fitted(tmp_path, nodes) as it:
        slots = it.fittings.slots["a"]
        it.write(nodes, lease_ttl="40s")
        await it.fittings.reload()

        assert it.fittings.slots["a"] is slots
        assert slots.ttl == 40.0
        assert it.reloaded == 1


async def test_what_is_noted_of_a_changed_file_is_said(tmp_path: Path) -> None:
    async with fitted(tmp_path, {"a": DEAD}) as it:
        it.write({name: {"url": f"{DEAD}/{name}", "exporter": DEAD} for name in "ab"})
        with structlog.testing.capture_logs() as told:
            await it.fittings.reload()

    (note,) = [line["note"] for line in told if line["event"] == "nodes file noted"]
    assert "is also the exporter of a" in note


async def test_a_node_that_went_is_forgotten_only_after_its_last_answer(tmp_path: Path) -> None:
    """A slow client may close it long after the node has ended it."""
    async with fitted(tmp_path, {"a": DEAD, "b": DEAD}) as it:
        it.core.on_dispatch("one", Demand("one", "tiny", prompt_tokens=1, arrived=0.0), "a", 0.0)
        it.write({"b": DEAD})
        await it.fittings.reload()
        await asyncio.sleep(1.2)
        during = it.shown("a")
        it.core.on_finish("one", Outcome(OutcomeKind.DONE, 1), 1.0)
        await until(lambda: not it.shown("a"), seconds=5)

    assert during


async def test_a_node_that_has_gone_is_not_found(tmp_path: Path) -> None:
    async with fitted(tmp_path, {"a": DEAD}) as it:
        with pytest.raises(NotFound):
            await it.fittings.list_models("z")


async def test_the_end_closes_nodes_that_are_still_leaving(tmp_path: Path) -> None:
    hung_up = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.request()
        await peer.heard_hang_up()
        hung_up.set()

    async with served(slow) as url, fitted(tmp_path, {"a": url, "b": DEAD}) as it:
        asking = asyncio.create_task(it.fittings.list_models("a"))
        await asyncio.sleep(0.1)
        it.write({"b": DEAD})
        await it.fittings.reload()
        await it.fittings.close()
        await asyncio.wait_for(hung_up.wait(), 5)
        await asyncio.gather(asking, return_exceptions=True)


LARGE = {f"n{number:03}": DEAD for number in range(BREATH + 50)}


async def test_what_the_checks_of_a_large_fleet_find_reaches_the_choice_of_a_node(
    tmp_path: Path,
) -> None:
    async with fitted(tmp_path, LARGE) as it:
        run = asyncio.create_task(it.fittings.run())
        before = candidates(it)
        for node in LARGE:
            it.fittings.on_check(node, [Listed("another")], None)
        await until(lambda: not candidates(it), seconds=5)
        run.cancel()

    assert len(before) == len(LARGE)  # until it is known what they serve


async def test_older_facts_of_a_large_fleet_never_undo_a_cordon(tmp_path: Path) -> None:
    async with fitted(tmp_path, LARGE) as it:
        for node in LARGE:
            it.fittings.on_check(node, [Listed("tiny")], None)
        telling = asyncio.create_task(it.fittings.tell_core_by_and_by())
        await asyncio.sleep(0)  # n000 was looked at, the last ones were not
        it.fittings.on_cordons(frozenset({"n000"}))
        await telling

    assert candidates(it)["n000"] is Rejection.CORDONED


def candidates(it: Fitted) -> dict[str, Rejection | None]:
    """Node -> why it is barred, of those known to have the model."""
    demand = Demand("one", "tiny", prompt_tokens=1, arrived=0.0)
    view = it.core.snapshot(demand, time.monotonic()).views["tiny"]
    return {row.node: row.barred for row in view.candidates}
