"""A client that leaves while it sends a body is no failure of ours."""

import asyncio
from pathlib import Path

import pytest
import structlog

from tests.fakes.router import running_router


@pytest.mark.parametrize(
    "path",
    ["/alertmanager/webhook", "/api/nodes/a/cordon", "/v1/chat/completions", "/login"],
)
async def test_it_is_not_told_as_one(tmp_path: Path, path: str) -> None:
    async with running_router({"a": "http://127.0.0.1:9"}, folder=tmp_path) as router:
        host = router.url.removeprefix("http://")
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                _, writer = await asyncio.open_connection(*host.split(":"))
                writer.write(f"POST {path} HTTP/1.1\r\nhost: {host}\r\n".encode())
                writer.write(b'content-length: 100\r\n\r\n{"a":')
                await writer.drain()
                await asyncio.sleep(0.1)
                writer.close()
                await writer.wait_closed()
            await asyncio.sleep(0.3)

    assert [line for line in logs if line["log_level"] == "error"] == []
