"""A real exporter and a real router with one node, and a Prometheus that scrapes both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.dashboards.stage import Live, free_address, job, started
from tests.exporter.process import running as running_exporter
from tests.fakes.fleet_prometheus import QUICK, configuration
from tests.fakes.ollama import FakeOllama
from tests.fakes.router import running_router

NODE = "real-1"
MODEL = "smollm2:135m"
BETWEEN = 0.5
"""Seconds between two questions of the client."""


@asynccontextmanager
async def running_real(folder: Path) -> AsyncIterator[Live]:
    """A client asks all the time."""
    here = free_address()
    home = folder / "exporter"
    home.mkdir()
    with FakeOllama() as node, running_exporter(home, "--llm-url", node.url) as exporter:
        listed = {NODE: {"url": node.url, "kind": "ollama", "exporter": exporter.url}}
        async with running_router(listed, folder=folder, prometheus_url=f"http://{here}") as router:
            asked = configuration(folder, here, here, QUICK)
            asked["scrape_configs"] = [
                job("dpl-exporter", urlsplit(exporter.url).netloc, node=NODE),
                job("dpl-router", urlsplit(router.url).netloc, instance="router"),
                job("prometheus", here),
            ]
            with started(folder, asked, here), httpx.Client(timeout=10) as client:
                asking = asyncio.create_task(ask(router.url))
                try:
                    yield Live(f"http://{here}", client)
                finally:
                    asking.cancel()


async def ask(url: str) -> None:
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        while True:
            await client.post("/v1/chat/completions", json=body)
            await asyncio.sleep(BETWEEN)
