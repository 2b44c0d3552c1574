"""The OpenAPI document says all that the router serves, and nothing else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.handlers import BaseRouteHandler

from dpl_router import __version__
from dpl_router.diagnostics.openapi import document
from dpl_router.diagnostics.operations import OPERATIONS
from dpl_router.security.guards import operator, user, viewer
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import running_router

SNAPSHOT = Path(__file__).parent / "api.txt"
PAGES = "dpl_router.pages."

Row = tuple[str, str, str]
"""Method, path, role."""


def served(app: Litestar) -> Iterator[Row]:
    """What the application answers to, but for its pages and the OPTIONS of the framework."""
    for route in app.routes:
        handlers: list[Any] = list(getattr(route, "route_handlers", ())) or [route.route_handler]  # type: ignore[union-attr]
        for handler in handlers:
            if not handler.fn.__module__.startswith((PAGES, "litestar.")):
                # raw handlers take every method and answer to POST
                for method in getattr(handler, "http_methods", {"POST"}):
                    yield str(method).lower(), route.path_format, role_of(handler)


def role_of(handler: BaseRouteHandler) -> str:
    guards = handler.resolve_guards()
    named = {"viewer": viewer, "user": user, "operator": operator}
    return next((role for role, guard in named.items() if guard in guards), "open")


async def test_the_document_names_every_call_with_its_role_and_no_other(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            routes = set(served(router.parts.litestar))

    listed = [(one.method, one.path, one.role) for one in OPERATIONS]
    table = "OPERATIONS (router/dpl_router/diagnostics/operations.py)"
    assert not routes - set(listed), f"name it in {table}: {sorted(routes - set(listed))}"
    assert not set(listed) - routes, f"no handler is served for {sorted(set(listed) - routes)}"
    assert len(listed) == len(routes), f"{table} has a line twice"


def test_a_changed_api_is_a_visible_diff() -> None:
    rows = sorted(f"{one.method.upper():6} {one.path} {one.role}" for one in OPERATIONS)
    kept = SNAPSHOT.read_text(encoding="utf-8").splitlines()
    file = "tests/contract/api.txt, if it is meant"

    for row in rows:
        assert row in kept, f"write this line into {file}: {row}"
    for row in kept:
        assert row in rows, f"take this line out of {file}: {row}"
    assert rows == kept, "the lines of tests/contract/api.txt are sorted, each once"


def test_every_reference_in_the_document_leads_somewhere() -> None:
    text = json.dumps(document(OPERATIONS, __version__))
    schemas = document(OPERATIONS, __version__)["components"]["schemas"]

    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) <= schemas.keys()


def test_no_two_calls_share_an_id() -> None:
    paths = document(OPERATIONS, __version__)["paths"]
    ids = [call["operationId"] for path in paths.values() for call in path.values()]

    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", ["/schema/openapi.json", "/schema"])
async def test_programs_and_people_can_read_it(tmp_path: Path, path: str) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as router:
            async with router.client() as client:
                answer = await client.get(path)

    assert answer.status_code == 200
    for operation in OPERATIONS:
        assert operation.path in answer.text
    if path.endswith(".json"):
        assert answer.json()["openapi"].startswith("3.1")
        assert answer.headers["content-type"] == "application/json"
    else:
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "style=" not in answer.text
