"""What a page's router sees besides its nodes: an Alertmanager, and exporters' pages."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.fakes.wire import Peer, served

GIB = 1024**3


def alert(
    name: str = "DplLlmDown",
    *,
    summary: str = "the LLM server of gpu-1 does not answer",
    description: str = "",
    severity: str = "critical",
    node: str = "gpu-1",
    state: str = "active",
    since: str = "2026-01-02T03:04:05.678Z",
) -> dict[str, Any]:
    """As Alertmanager's /api/v2/alerts lists one."""
    return {
        "labels": {"alertname": name, "severity": severity, "node": node},
        "annotations": {"summary": summary, "description": description},
        "startsAt": since,
        "status": {"state": state},
    }


def exposition(
    models: Mapping[str, bool],
    *,
    slots: int = 4,
    memory: tuple[float, float] = (3.0, 16.0),
    gpu: tuple[float, float, float] | None = None,
    cpu: tuple[float, float] = (900.0, 1000.0),
) -> str:
    """An exporter's page: models (loaded or not), memory (used, total GiB), gpu (share, GiB, GiB),
    cpu (idle, all seconds since boot)."""
    used, total = memory
    idle, all_seconds = cpu
    lines = [
        'dpl_llm_up{backend="llamacpp"} 1',
        f"dpl_node_slots {slots}",
        f'dpl_node_cpu_seconds_total{{mode="idle"}} {idle}',
        f'dpl_node_cpu_seconds_total{{mode="user"}} {all_seconds - idle}',
        f"dpl_node_memory_total_bytes {total * GIB}",
        f"dpl_node_memory_available_bytes {(total - used) * GIB}",
        *(f'dpl_llm_model_loaded{{model="{name}"}} {int(on)}' for name, on in models.items()),
    ]
    if gpu is not None:
        share, gpu_used, gpu_total = gpu
        lines += [
            f'dpl_gpu_utilization_ratio{{gpu="0"}} {share}',
            f'dpl_gpu_memory_used_bytes{{gpu="0"}} {gpu_used * GIB}',
            f'dpl_gpu_memory_total_bytes{{gpu="0"}} {gpu_total * GIB}',
        ]
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def answering(
    body: Callable[[], str], asked: list[bytes] | None = None
) -> AsyncIterator[str]:
    """A server that answers everything with what `body` says now; yields its url. The requests are
    kept in `asked`."""

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if asked is not None:
                asked.append(request)
            await peer.answer(body().encode())

    async with served(script) as url:
        yield url


@asynccontextmanager
async def alertmanager(alerts: Sequence[Mapping[str, Any]]) -> AsyncIterator[str]:
    """Holds `alerts` active; a test may change its list meanwhile."""
    async with answering(lambda: json.dumps(list(alerts))) as url:
        yield url
