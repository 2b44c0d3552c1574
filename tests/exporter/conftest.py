"""One exporter process beside one fake llama.cpp, shared by the tests of a file."""

from collections.abc import Iterator

import pytest

from tests.exporter.process import Running, post, running
from tests.fakes.llm_status import StatusServer, llamacpp_answers, status_server


@pytest.fixture(scope="module")
def llm() -> Iterator[StatusServer]:
    with status_server(llamacpp_answers()) as server:
        yield server


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, llm: StatusServer) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("exporter")
    with running(folder, "--llm-url", llm.url) as exporter:
        yield exporter


@pytest.fixture
def exporter(shared: Running) -> Running:
    """The shared process with no lease held."""
    assert post(shared, "/unlock", {"force": True}).status == 200
    return shared
