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

    assert {(one.method, one.path, one.role) for one in OPERATIONS} == routes
    assert len(OPERATIONS) == len(routes)


def test_a_changed_api_is_a_visible_diff() -> None:
    """Changed on purpose? Write what this shows into api.txt."""
    rows = [f"{one.method.upper():6} {one.path} {one.role}\n" for one in OPERATIONS]

    assert "".join(sorted(rows)) == SNAPSHOT.read_text(encoding="utf-8")


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
