"""The node's slots and leases."""

from collections.abc import Callable, Iterable
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import HistogramMetricFamily

from dpl_exporter.collectors.base import Collector, counter, counters, gauge
from dpl_exporter.desk import LeaseFacts
from dpl_exporter.lease import HOLD_BUCKETS, Counts


class LeaseCollector(Collector):
    """dpl_node_slots and dpl_lock_*."""

    name = "lease"

    def __init__(
        self,
        read: Callable[[], LeaseFacts],
        persistent: Callable[[], bool],
        wall: Callable[[], float],
    ) -> None:
        self._read = read
        self._persistent = persistent
        self._wall = wall

    def collect(self) -> Iterable[Metric]:
        facts = self._read()
        yield from gauge(
            "dpl_node_slots", "How many requests the node should run at once.", facts.capacity
        )
        yield from gauge("dpl_lock_held", "1 while a lease is held.", float(facts.held))
        yield from gauge(
            "dpl_lock_exclusive", "1 while one holder has the whole node.", float(facts.exclusive)
        )
        yield from gauge("dpl_lock_slots", "Slots that can be leased.", facts.capacity)
        yield from gauge("dpl_lock_slots_in_use", "Slots that are leased.", facts.in_use)
        if facts.expires_in is not None:
            yield from gauge(
                "dpl_lock_lease_expires_timestamp_seconds",
                "Latest expiry of all leases, since 1970.",
                self._wall() + facts.expires_in,
            )
        yield from gauge("dpl_lock_fencing_token", "Newest token; 0 = none.", facts.newest_token)
        yield from gauge(
            "dpl_lock_state_persistent",
            "0 while the token's high-water mark cannot be written.",
            float(self._persistent()),
        )
        yield from _events(facts.counts)


def _events(counts: Counts) -> Iterable[Metric]:
    yield from counters(
        "dpl_lock_acquisitions_total",
        "New leases asked for; renewals do not count.",
        "result",
        {"granted": counts.granted, "conflict": counts.conflicts},
    )
    yield from counters(
        "dpl_lock_releases_total",
        "Leases that ended.",
        "reason",
        {why.value: count for why, count in counts.released.items()},
    )
    yield from counter("dpl_lock_stale_rejected_total", "Requests with an old token.", counts.stale)
    bounds = [*(str(bound) for bound in HOLD_BUCKETS), "+Inf"]
    yield HistogramMetricFamily(
        "dpl_lock_hold_seconds",
        "How long a lease was held.",
        buckets=list(zip(bounds, accumulate(counts.held), strict=True)),
        sum_value=counts.held_seconds,
    )
