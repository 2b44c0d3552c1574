"""docs/metrics.md: every metric of both programs, as they declare it themselves.

    .venv/bin/python -m tests.catalogue

It is made of pages, not of code: those of real exporters on each platform and beside each LLM
server (tests/exporter/golden), what collectors say of readings that none of these machines has, and
the page of a router that has seen everything once. The names, kinds, labels and words on them have
one home, which is where the metric is made.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dpl_exporter.collectors.memory import Memory, MemoryCollector
from dpl_exporter.collectors.network import Device, NetworkCollector
from dpl_exporter.collectors.temperature import TemperatureCollector
from tests.contract.emitted import golden_pages, otel_registry, router_registry
from tests.recorded_series import section

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
ALL, ELSEWHERE = "all", "elsewhere"
TOLD_BY = {
    "nvidia-2-cards": "NVIDIA",
    "nvidia-mig": "NVIDIA",
    "amd": "AMD",
    "apple": "Apple",
    "llm-ollama": "Ollama",
    "llm-llamacpp": "llama.cpp",
    "llm-vllm": "vLLM",
    "llm-sglang": "SGLang",
    "llm-lmstudio": "LM Studio",
}
"""Golden page -> the word for who told it."""
UNITS = {
    "_timestamp_seconds": "seconds since 1970",
    "_start_time_seconds": "seconds since 1970",
    "_node_boot_time_seconds": "seconds since 1970",
    "dpl_node_time_seconds": "seconds since 1970",
    "_bytes_per_second": "bytes per second",
    "_speed_bytes": "bytes per second",
    "_seconds": "seconds",
    "_bytes": "bytes",
    "_joules": "joules",
    "_watts": "watts",
    "_celsius": "°C",
    "_hertz": "hertz",
    "_tokens": "tokens",
    "_token_usage": "tokens",
    "_ratio": "0 to 1",
}
"""End of a name, without `_total` -> unit."""
ROOMS = {
    "dpl_node_": "The machine",
    "dpl_gpu_": "GPUs",
    "dpl_llm_": "The LLM server and its models",
    "dpl_lock_": "Leases",
    "dpl_exporter_": "The exporter itself",
}
BUCKET = "le"
CLOSED = {
    *("action", "bound", "cause", "direction", "domain", "dpl_router_scheduling_mode", "kind"),
    *("mode", "outcome", "phase", "reason", "resource", "result", "route", "severity", "source"),
    *("error_type", "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_token_type"),
}
"""Labels whose words are few and known; those of a machine's devices and models are not told."""
NOT_BY_ALL = ("dpl_gpu_", "dpl_llm_")
"""Rooms in which it matters who tells."""
HEAD = """# Metrics

Written by `make render` from the pages of real programs; do not edit. What a machine or a server
does not tell is absent, never 0. Prometheus adds `node` to all of an exporter's series. What our
rules record from these stands at the end.
"""
OTEL = "OpenTelemetry's names, beside ours with `--metrics.otel-names`"


@dataclass(slots=True)
class Entry:
    """One metric. `kind` is Prometheus's word; `words` its help text."""

    name: str
    kind: str
    words: str
    labels: dict[str, set[str]] = field(default_factory=dict)
    """Label -> what it said."""
    told_by: set[str] = field(default_factory=set)

    @property
    def unit(self) -> str:
        base = self.name.removesuffix("_total")
        return next((unit for end, unit in UNITS.items() if base.endswith(end)), "")


def entries(pages: Mapping[str, Iterable[Metric]]) -> dict[str, Entry]:
    """By name. Raises: ValueError where two pages declare one metric in two ways."""
    found: dict[str, Entry] = {}
    for page, families in pages.items():
        for family in families:
            name, kind = declared(family)
            entry = found.setdefault(name, Entry(name, kind, family.documentation))
            if (entry.kind, entry.words) != (kind, family.documentation):
                raise ValueError(f"{name} is declared in two ways; one is on the page of {page}")
            for sample in family.samples:
                for label, value in sample.labels.items():
                    if label != BUCKET:
                        entry.labels.setdefault(label, set()).add(value)
            entry.told_by.add(page)
    return found


def declared(family: Metric) -> tuple[str, str]:
    """Name and kind as Prometheus has them: the text format knows no info and no enum."""
    if family.type == "counter":
        return family.name.removesuffix("_total") + "_total", "counter"
    return family.name, family.type


def exporter_entries() -> dict[str, Entry]:
    return entries({**golden_pages(), ELSEWHERE: elsewhere()})


def elsewhere() -> Sequence[Metric]:
    """A Mac's memory, a sensor and a network card whose speed is known."""
    memory = Memory(1, 1, 1, 1, 1, 1, 1, pressure=1)
    card = Device(1, 1, 1, 1, 1, 1, 1, 1, is_up=True, megabits=1000)
    collectors = (
        MemoryCollector(lambda: memory),
        NetworkCollector(re.compile("(?!)"), lambda: {"eth0": card}),
        TemperatureCollector(lambda: {"k10temp": [50.0]}),
    )
    return [family for one in collectors for family in one.collect()]


def router_entries() -> dict[str, Entry]:
    return told_of(router_registry())


def otel_entries() -> dict[str, Entry]:
    return told_of(otel_registry())


def told_of(registry: CollectorRegistry) -> dict[str, Entry]:
    page = generate_latest(registry).decode()
    return entries({"router": text_string_to_metric_families(page)})


def rendered() -> str:
    """The whole page."""
    exporter, router = exporter_entries(), router_entries()
    parts = [HEAD, "\n## Exporter (port 8001)\n"]
    for prefix, title in ROOMS.items():
        here = [one for name, one in sorted(exporter.items()) if name.startswith(prefix)]
        column = told_by if prefix in NOT_BY_ALL else None
        parts += [f"\n### {title}\n\n", *table(here, column)]
    parts.append("\n## Router (port 8000)\n")
    otel = {OTEL: [one for _, one in sorted(otel_entries().items())]}
    for title, room in {**router_rooms(router.values()), **otel}.items():
        parts += [f"\n### {title}\n\n", *table(room, None)]
    return "".join([*parts, *section()])


def router_rooms(found: Iterable[Entry]) -> Mapping[str, Sequence[Entry]]:
    rooms: dict[str, list[Entry]] = {
        title: []
        for title in ("Per model", "Per node", "Per node and model", "Leases", "As a whole")
    }
    for one in sorted(found, key=lambda entry: entry.name):
        if one.name.startswith("dpl_router_lock_"):
            rooms["Leases"].append(one)
        elif {"node", "model"} <= one.labels.keys():
            rooms["Per node and model"].append(one)
        elif "node" in one.labels:
            rooms["Per node"].append(one)
        else:
            rooms["Per model" if "model" in one.labels else "As a whole"].append(one)
    return rooms


def table(room: Iterable[Entry], last: Callable[[Entry], str] | None) -> Iterator[str]:
    """Lines; `last` fills one more column."""
    yield f"| metric | type | unit | labels | what it tells |{' told by |' if last else ''}\n"
    yield f"|---|---|---|---|---|{'---|' if last else ''}\n"
    for one in room:
        labels = ", ".join(worded(*label) for label in sorted(one.labels.items()))
        words = one.words.replace("|", "\\|")
        more = f" {last(one)} |" if last else ""
        yield f"| `{one.name}` | {one.kind} | {one.unit} | {labels} | {words} |{more}\n"


def worded(label: str, values: Iterable[str]) -> str:
    """A label, with its words where they are a closed set."""
    words = f" ({', '.join(sorted(filter(None, values)))})" if label in CLOSED else ""
    return f"`{label}`{words}"


def told_by(entry: Entry) -> str:
    """Which cards or servers tell it, in the order of TOLD_BY."""
    room = next(one for one in NOT_BY_ALL if entry.name.startswith(one))
    peers = [page for page in TOLD_BY if page.startswith("llm-") == (room == "dpl_llm_")]
    if set(peers) <= entry.told_by:
        return ALL
    return ", ".join(dict.fromkeys(TOLD_BY[page] for page in peers if page in entry.told_by))


def main() -> int:
    PAGE.write_text(rendered(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
