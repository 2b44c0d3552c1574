"""One stage and one run of each client for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.clients.clients import Client
from tests.clients.matrix import Runs
from tests.clients.stage import Stage, standing


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with standing(tmp_path_factory.mktemp("clients")) as stage:
        yield stage


@pytest.fixture(scope="session")
def runs(
    request: pytest.FixtureRequest, stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs]:
    """The clients of all selected tests have begun."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    named = [call.params.get("client") for call in calls if call is not None]
    wanted = {one.name: one for one in named if isinstance(one, Client)}
    runs = Runs(stage, tmp_path_factory.mktemp("home"), wanted.values())
    yield runs
    runs.close()
