"""What an NVIDIA card does now: utilisation, memory, processes, GPU instances."""

from collections.abc import Callable, Collection, Iterator

from dpl_exporter.collectors.gpu_card import Load, Slice
from dpl_exporter.collectors.gpu_processes import (
    LLM,
    OTHER,
    OnGpu,
    Owners,
    by_pid,
    foreign_memory,
)
from dpl_exporter.collectors.nvml import BROKEN, NOT_SUPPORTED, Handle, Nvml, value_of
from dpl_exporter.errors import DriverFailed

WINDOW = 5_000_000
"""Microseconds of samples that a reading covers at least, also when pages come at once."""
MOST_BYTES = 1 << 50
"""More memory than a card has: a reading that is blank looks like a number (2^63 - 14)."""
UNSEEN = 1 << 30
"""Bytes in use that no listed process holds, above which there are some that we are not shown: in a
container NVML lists none of the others', without an error. What the driver itself held beside two
processes was 17 MB on an H200.
"""


class Busy:
    """Share of time a kernel ran, as the mean of the driver's samples since the last page.

    Source: nvmlDeviceGetSamples (5 to 60 a second, the last 120 are kept). A single reading
    covers between a sixth and a whole second and misses what happened in between.
    """

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}

    def ratio(self, nvml: Nvml, handle: Handle, uuid: str) -> float | None:
        """None where there is no sample; `uuid` is whose they are."""
        since = self._newest.get(uuid, 0)
        kind = nvml.constant("NVML_GPU_UTILIZATION_SAMPLES")
        told = nvml.ask("DeviceGetSamples", handle, kind, max(0, since - WINDOW))
        value_type, listed = told or (0, ())
        samples = [
            (int(one.timeStamp), percent)
            for one in listed
            if (percent := value_of(one.sampleValue, value_type)) is not None and percent <= 100
        ]
        if not samples:
            return None
        newest = max(at for at, _ in samples)
        self._newest[uuid] = newest
        start = min(since, newest - WINDOW) if since else newest - WINDOW
        values = [value for at, value in samples if at > start]
        return sum(values) / len(values) / 100


def read_load(
    nvml: Nvml,
    handle: Handle,
    uuid: str,
    *,
    busy: Busy,
    owners: Owners,
    host_memory: Callable[[], tuple[int, int]],
) -> Load:
    """`host_memory` is (total, used) in bytes. Raises: CardLost, DriverFailed."""
    rates = nvml.ask("DeviceGetUtilizationRates", handle)
    sampled = busy.ratio(nvml, handle, uuid)
    total, used, reserved = read_memory(nvml, handle, host_memory)
    in_use = None if reserved is None else used  # else it holds what is reserved, or is the host's
    processes, foreign = read_processes(nvml, handle, owners, in_use)
    return Load(
        busy=_ratio(rates.gpu) if sampled is None and rates else sampled,
        memory_busy=_ratio(rates.memory) if rates else None,
        memory_total=total,
        memory_used=used,
        memory_reserved=reserved,
        foreign_memory=foreign,
        processes=processes,
        mig=dict(read_instances(nvml, handle)),
    )


def read_memory(
    nvml: Nvml, handle: Handle, host_memory: Callable[[], tuple[int, int]]
) -> tuple[float | None, float | None, float | None]:
    """(total, used, reserved). Source: nvmlDeviceGetMemoryInfo, version 2 where it is known: in
    the first one `used` holds what is reserved. A chip that shares the machine's memory (GB10)
    supports neither: then it is the machine's.

    Raises: CardLost, DriverFailed: a card that cannot tell this is not well.
    """
    try:
        told = nvml.ask("DeviceGetMemoryInfo", handle, nvml.constant("nvmlMemory_v2"))
        reserved = _bytes(told.reserved) if told else None
        told = told or nvml.must("DeviceGetMemoryInfo", handle)
    except DriverFailed as error:
        if error.code == NOT_SUPPORTED:
            total, used = host_memory()
            return total, used, None
        if error.code in BROKEN:
            raise
        return None, None, None
    if not told.total:
        return None, None, None
    return _bytes(told.total), _bytes(told.used), reserved


def read_processes(
    nvml: Nvml, handle: Handle, owners: Owners, in_use: float | None
) -> tuple[dict[str, float | None], float | None]:
    """(number by kind, bytes of those that are no model server); nothing where the bytes that are
    `in_use` say that some are missing from the list."""
    lists = [
        nvml.ask(f"DeviceGet{kind}RunningProcesses", handle) for kind in ("Compute", "Graphics")
    ]
    if lists == [None, None]:
        return {}, None
    memory = by_pid(
        [OnGpu(one.pid, _bytes(one.usedGpuMemory)) for one in each or ()] for each in lists
    )
    kinds = owners.kinds(memory)
    if kinds is None or _some_unseen(memory.values(), in_use):
        return {}, None
    counted = list(kinds.values())
    return {kind: counted.count(kind) for kind in (LLM, OTHER)}, foreign_memory(memory, kinds)


def _some_unseen(listed: Collection[int | None], in_use: float | None) -> bool:
    known = [one for one in listed if one is not None]
    return in_use is not None and len(known) == len(listed) and in_use - sum(known) > UNSEEN


def read_instances(nvml: Nvml, handle: Handle) -> Iterator[tuple[str, Slice]]:
    """(id of the GPU instance, its memory), again for each of its compute instances, which share
    it; nothing for a whole card. Source: nvmlDeviceGetMigDeviceHandleByIndex."""
    mode = nvml.ask("DeviceGetMigMode", handle)
    if not mode or mode[0] != 1:
        return
    for number in range(nvml.ask("DeviceGetMaxMigDeviceCount", handle) or 0):
        part = nvml.ask("DeviceGetMigDeviceHandleByIndex", handle, number)
        instance = None if part is None else nvml.ask("DeviceGetGpuInstanceId", part)
        told = None if instance is None else nvml.ask("DeviceGetMemoryInfo", part)
        if told:
            yield str(instance), Slice(_bytes(told.used), _bytes(told.total))


def _ratio(percent: int) -> float | None:
    return percent / 100 if percent <= 100 else None


def _bytes(value: int | None) -> int | None:
    return value if value is not None and value < MOST_BYTES else None
