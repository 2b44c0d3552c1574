"""Answers of a thousand nodes: read beside the loop, and no other than small ones."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from dpl_router.control import Control
from dpl_router.errors import Unavailable
from dpl_router.metrics import RouterMetrics
from dpl_router.telemetry.prometheus import PrometheusSource


class Beside(ThreadPoolExecutor):
    """Counts what is done beside the loop."""

    def __init__(self) -> None:
        super().__init__(1)
        self.count = 0

    def submit(self, *given: Any, **named: Any) -> Any:
        self.count += 1
        return super().submit(*given, **named)


def body(nodes: int) -> bytes:
    up = {"__name__": "node:dpl_llm_up:max", "padding": "x" * 200}
    value = [9.0, "1"]
    series = [{"metric": up | {"node": f"n{at}"}, "value": value} for at in range(nodes)]
    return json.dumps({"data": {"result": series}}).encode()


@asynccontextmanager
async def source_of(said: bytes) -> AsyncIterator[tuple[PrometheusSource, RouterMetrics]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(said) + said)
        await writer.drain()
        writer.close()

    metrics = RouterMetrics(CollectorRegistry())
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        control = Control("http://{}:{}".format(*server.sockets[0].getsockname()[:2]))
        yield PrometheusSource(control, metrics.view), metrics
        await control.close()


@pytest.mark.parametrize(("nodes", "beside"), [(10, 0), (1_500, 1)])
async def test_a_large_answer_is_read_beside_the_loop(nodes: int, beside: int) -> None:
    """1,000 nodes take longer to read than two tokens of a stream are apart."""
    executor = Beside()
    asyncio.get_running_loop().set_default_executor(executor)
    async with source_of(body(nodes)) as (source, _):
        found = await source.facts()

    assert len(found) == nodes
    assert all(sample.up for sample in found.values())
    assert executor.count == beside


async def test_a_large_answer_that_is_cut_is_counted_as_a_small_one_is() -> None:
    async with source_of(body(1_500)[:-9]) as (source, metrics):
        with pytest.raises(Unavailable):
            await source.facts()

    assert metrics.view.query_failures["empty"].value == 1
