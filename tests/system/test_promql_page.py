"""docs/promql.md is true: a real Prometheus that scrapes 20 machines answers each query."""

import asyncio
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.fleet_prometheus import running_fleet, running_prometheus
from tests.fakes.programs import ROOT
from tests.fakes.router import running_router

PAGE = (ROOT / "docs" / "promql.md").read_text("utf-8")
NODES = 20
NOBODY = "http://127.0.0.1:1"
SETTLE = 60.0
"""Seconds in which the last of them must have found something."""


def queries() -> dict[str, str]:
    """Question -> its query."""
    return dict(re.findall(r"^## (.+?)\n\n```promql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("promql")
    with running_fleet(NODES) as fleet, running_prometheus(folder, fleet) as url:
        yield url


def answer(url: str, promql: str) -> list[dict[str, Any]]:
    said = httpx.get(url + "/api/v1/query", params={"query": promql}, timeout=10)
    assert said.status_code == 200, said.text
    found: list[dict[str, Any]] = said.json()["data"]["result"]
    return found


def settled(url: str, promql: str) -> list[dict[str, Any]]:
    """What it finds as soon as it finds something; nothing where it never does."""
    end = time.monotonic() + SETTLE
    while not (found := answer(url, promql)) and time.monotonic() < end:
        time.sleep(0.2)
    return found


def test_every_question_has_its_query() -> None:
    assert len(queries()) == PAGE.count("```promql\n") == PAGE.count("\n## ") >= 15


@pytest.mark.parametrize("question", queries())
def test_each_query_of_the_page_finds_something(prometheus: str, question: str) -> None:
    found = settled(prometheus, queries()[question])

    assert found != []
    assert all(math.isfinite(float(series["value"][1])) for series in found), found


async def test_the_verb_asks_prometheus_through_the_router(prometheus: str, tmp_path: Path) -> None:
    question = "Which machine is the most loaded?"
    await asyncio.to_thread(settled, prometheus, queries()[question])
    async with running_router({"a": NOBODY}, folder=tmp_path, prometheus_url=prometheus) as router:
        found = await asyncio.to_thread(dpl_query, router.url, queries()[question])
        wrong = await asyncio.to_thread(dpl_query, router.url, "topk(3, ")

    head, *rows = found.stdout.splitlines()
    assert head.split()[-2:] == ["NODE", "VALUE"]
    assert len(rows) == 3, found.stderr
    assert wrong.returncode == 1
    assert "parse error" in wrong.stderr


def dpl_query(url: str, promql: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dpl_router", "query", promql],
        env={**os.environ, "DPL_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
    )
