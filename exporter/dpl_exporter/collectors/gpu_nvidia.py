"""NVIDIA cards, through NVML."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import psutil
from prometheus_client import Metric

from dpl_exporter.collectors.base import Collector
from dpl_exporter.collectors.gpu_card import Card, card_families
from dpl_exporter.collectors.gpu_energy import EnergyCount
from dpl_exporter.collectors.gpu_nvidia_events import XidWatch
from dpl_exporter.collectors.gpu_nvidia_health import (
    Rates,
    no_rates,
    read_fields,
    read_health,
    read_power,
)
from dpl_exporter.collectors.gpu_nvidia_load import Busy, read_load
from dpl_exporter.collectors.gpu_processes import Owners
from dpl_exporter.collectors.nvml import GONE, Handle, Nvml
from dpl_exporter.errors import CardLost, DriverFailed, Failed, NoData

OPEN_AGAIN = 600.0
"""Seconds between two fresh starts of NVML while a card is missing: it lists the cards at its
start only. Seldom, since a start may take seconds, and a page that is late interrupts
the alert on the missing card."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """`trouble` says which card could not be read; empty where all could."""

    cards: Sequence[Card]
    trouble: str = ""


class NvidiaCollector(Collector):
    """dpl_gpu_* of NVIDIA cards.

    Raises: NoData where there is no driver or no card at the start; Failed, with what else is
    known, where the driver or one card does not answer. A card that goes while the driver
    answers is no failure: its series go, which the alert DplGpuMissing sees.
    """

    name = "gpu_nvidia"

    def __init__(self, read: Callable[[], Reading], xids: Callable[[], Iterable[Metric]]) -> None:
        self._read = read
        self._xids = xids

    def collect(self) -> Iterable[Metric]:
        try:
            reading = self._read()
        except DriverFailed as error:
            raise Failed(error.message, tuple(self._xids())) from None
        families = [*card_families(reading.cards), *self._xids()]
        if reading.trouble:
            raise Failed(reading.trouble, families)
        return families

    def late(self) -> Iterable[Metric]:
        """A card that hangs has often told why."""
        return self._xids()


def host_memory() -> tuple[int, int]:
    """(total, used) in bytes. Source: psutil.virtual_memory."""
    memory = psutil.virtual_memory()
    return memory.total, memory.total - memory.available


class NvidiaReader:
    """Reads all cards. Holds NVML open, and opens it again where the driver went or a card is
    missing. Not for two threads at once.
    """

    def __init__(
        self,
        nvml: Nvml,
        watch: XidWatch,
        *,
        monotonic: Callable[[], float],
        owners: Owners,
        memory: Callable[[], tuple[int, int]] = host_memory,
        rates: Callable[[Nvml, Handle], Rates] = no_rates,
    ) -> None:
        self._nvml = nvml
        self._watch = watch
        self._now = monotonic
        self._owners = owners
        self._memory = memory
        self._rates = rates
        self._busy = Busy()
        self._energy = EnergyCount(monotonic)
        self._about: dict[str, Mapping[str, str]] = {}
        self._opened_at = float("-inf")
        self._most = 0
        self._lost: frozenset[str] = frozenset()

    def read(self) -> Reading:
        """Raises: NoData, DriverFailed."""
        self._be_open()
        try:
            reading = self._all()
        except DriverFailed as error:
            if error.code in GONE:
                self._close()
            raise
        self._owners.settle()
        self._most = max(self._most, len(reading.cards))
        if not self._most and not reading.trouble:
            self._close()
            raise NoData("no NVIDIA card")
        if len(reading.cards) < self._most and self._now() - self._opened_at > OPEN_AGAIN:
            self._close()
        return reading

    def _all(self) -> Reading:
        cards, lost, trouble = [], set(), []
        for number in range(self._nvml.must("DeviceGetCount")):
            try:
                cards.append(self._card(number))
            except CardLost:
                lost.add(str(number))
            except DriverFailed as error:
                if error.code in GONE:
                    raise
                trouble.append(f"gpu {number}: {error.message}")
        self._say(frozenset(lost))
        return Reading(cards, "; ".join(trouble))

    def _be_open(self) -> None:
        if self._nvml.is_open:
            return
        self._nvml.open()
        self._opened_at = self._now()
        self._about.clear()
        handles = {}
        for number in range(self._nvml.ask("DeviceGetCount") or 0):
            try:
                handles[str(number)] = self._nvml.ask("DeviceGetHandleByIndex", number)
            except CardLost:
                continue
        self._watch.start({index: one for index, one in handles.items() if one is not None})

    def _close(self) -> None:
        if self._watch.stop():
            self._nvml.close()

    def _card(self, number: int) -> Card:
        """Raises: CardLost, DriverFailed."""
        nvml = self._nvml
        handle = nvml.must("DeviceGetHandleByIndex", number)
        about = self._identity(str(number), handle)
        uuid = about["uuid"]
        fields = read_fields(nvml, handle)
        load = read_load(
            nvml, handle, uuid, busy=self._busy, owners=self._owners, host_memory=self._memory
        )
        return Card(
            index=str(number),
            about=about,
            load=load,
            power=read_power(nvml, handle, uuid, fields, self._energy),
            health=read_health(nvml, handle, fields, self._rates),
        )

    def _identity(self, index: str, handle: Handle) -> Mapping[str, str]:
        """Asked once for each start of NVML."""
        if index not in self._about:
            pci = self._nvml.ask("DeviceGetPciInfo", handle)
            cuda = self._nvml.ask("SystemGetCudaDriverVersion_v2")
            self._about[index] = {
                "uuid": self._nvml.ask("DeviceGetUUID", handle) or "",
                "name": self._nvml.ask("DeviceGetName", handle) or "",
                "vendor": "nvidia",
                "driver_version": self._nvml.ask("SystemGetDriverVersion") or "",
                "cuda_version": f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
                "pci_bus_id": pci.busId if pci else "",
            }
        return self._about[index]

    def _say(self, lost: frozenset[str]) -> None:
        for index in sorted(lost - self._lost):
            log.warning("gpu lost gpu=%s", index)
        for index in sorted(self._lost - lost):
            log.info("gpu is back gpu=%s", index)
        self._lost = lost
