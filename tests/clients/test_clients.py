"""Each client works by changing a base URL, whichever kind of server the node runs.

What a client lacks itself stands in `clients.py`, with the reason.
"""

from collections.abc import Sequence

import pytest

from tests.clients.clients import CLIENTS, Client
from tests.clients.matrix import Runs, Verdict
from tests.clients.page import PAGE
from tests.clients.table import between_marks, found_by, rendered

pytestmark = pytest.mark.system

CELLS = [
    pytest.param(client, feature, id=f"{client.name}-{feature}")
    for client in CLIENTS
    for feature in client.features
]
ON_FAKES = [client for client in CLIENTS if client.protocol != "page"]


def faults(verdicts: Sequence[Verdict]) -> list[str]:
    return [f"{one.target}, {one.feature}: {one.fault}" for one in verdicts if one.fault]


@pytest.mark.parametrize(("client", "feature"), CELLS)
def test_what_a_client_can_do_it_can_do_with_every_kind_of_node(
    client: Client, feature: str, runs: Runs
) -> None:
    verdicts = runs.routed(client, feature)

    assert verdicts, "no target was asked: say in clients.py why it has none"
    assert faults(verdicts) == []


@pytest.mark.parametrize("client", ON_FAKES, ids=lambda client: client.name)
def test_the_fakes_pass_under_the_official_clients(client: Client, runs: Runs) -> None:
    """Else what is proved behind the router would be proved of nothing real."""
    verdicts = [one for one in runs.of(client) if not one.routed]

    assert len(verdicts) > 2
    assert faults(verdicts) == []


def test_the_table_in_the_docs_is_what_this_run_found(runs: Runs) -> None:
    """Otherwise: make clients."""
    assert between_marks(PAGE.read_text(encoding="utf-8")) == rendered(found_by(runs))
