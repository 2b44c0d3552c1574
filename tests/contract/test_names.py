"""Promise 1: every metric that a rule or a query names is emitted by someone, with those labels."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from dpl_router.telemetry import direct, queries
from tests.contract.emitted import exporter_metrics, router_metrics
from tests.contract.promql import Use, uses
from tests.fakes.fleet_exporter import template
from tests.fakes.fleet_laws import samples_of
from tests.fakes.fleet_nodes import fleet

ROOT = Path(__file__).parents[2]

SCRAPE = frozenset({"job", "instance", "cluster"})
ON_A_NODE = SCRAPE | {"node", "backend", "model"}
"""What service discovery adds. The router's job has no `node`: its series carry their own."""

LATER: Mapping[str, str] = {}
"""Pattern of a name -> what it comes with."""
FOREIGN = {
    r"node_\w+": "node_exporter",
    r"DCGM_\w+": "dcgm-exporter",
    r"nvidia_smi_\w+": "nvidia_gpu_exporter",
    r"vllm:\w+": "vLLM's own page",
    r"sglang:\w+": "SGLang's own page",
    r"llamacpp:\w+": "llama.cpp's own page",
    r"up|scrape_\w+": "Prometheus writes them at each scrape",
    r"prometheus_\w+": "Prometheus on itself",
    r"alertmanager_\w+": "Alertmanager on itself",
}

Metrics = Mapping[str, frozenset[str]]

NOT_HERE: Metrics = {
    "dpl_node_memory_pressure_level": ON_A_NODE,
    "dpl_node_network_speed_bytes": ON_A_NODE | {"device"},
    "dpl_node_temperature_celsius": ON_A_NODE | {"sensor"},
}
"""The exporter has them, and a Linux container shows none of them to it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`name` of the recorded series or of the alert; `levels` are the labels in its first part."""

    name: str
    promql: str
    levels: frozenset[str] = frozenset()


def rules() -> Iterator[Rule]:
    for path in sorted((ROOT / "prometheus" / "rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    levels = frozenset(rule["record"].split(":")[0].split("_"))
                    yield Rule(rule["record"], rule["expr"], levels)
                else:
                    yield Rule(rule["alert"], rule["expr"])


RULES = tuple(rules())
RECORDED: Metrics = {rule.name: rule.levels for rule in RULES if rule.levels}
QUERIES = {name: query for name, query in vars(queries).items() if isinstance(query, queries.Query)}


@pytest.fixture(scope="module")
def emitted() -> Metrics:
    """Name of a series -> the labels it has once Prometheus has scraped it."""
    exporter = {name: labels | ON_A_NODE for name, labels in exporter_metrics().items()}
    router = {name: labels | SCRAPE for name, labels in router_metrics().items()}

    assert exporter.keys() & router.keys() == set()
    return {**NOT_HERE, **exporter, **router}


def told_by_others(name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in (*LATER, *FOREIGN))


NAME_CURE = (
    "write it as it is emitted, emit it, name its program in FOREIGN here, or, where this machine "
    "does not show it to our exporter, in NOT_HERE"
)
LABEL_CURE = "leave that label out, or emit it"


def broken(found: list[Use], emitted: Metrics) -> list[str]:
    """What is wrong with these selectors, a line each, and what mends it."""
    known = {**emitted, **RECORDED}
    wrong = []
    for use in found:
        names = [use.name] if use.name else [n for n in known if re.fullmatch(use.pattern, n)]
        if not names:
            wrong.append(f"no series is called {use.pattern}: {NAME_CURE}")
        for name in names:
            if name in known:
                missing = sorted(use.labels - known[name])
                wrong += [f"{name} has no label {label}: {LABEL_CURE}" for label in missing]
            elif not told_by_others(name):
                wrong.append(f"nobody emits {name}: {NAME_CURE}")
    return wrong


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_series_of_a_rule_is_emitted_with_those_labels(rule: Rule, emitted: Metrics) -> None:
    wrong = broken(uses(rule.promql, rule.levels), emitted)

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", QUERIES)
def test_every_series_of_a_query_is_emitted_with_those_labels(name: str, emitted: Metrics) -> None:
    query = QUERIES[name]
    wrong = broken(uses(query.promql, query.labels), emitted)

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", direct._FACTS)
def test_what_the_router_reads_of_an_exporter_is_emitted(name: str, emitted: Metrics) -> None:
    wrong = broken([Use(name, frozenset())], emitted)

    assert not wrong, "\n".join(wrong)


def test_what_comes_later_is_missing_and_missed(emitted: Metrics) -> None:
    """An entry that has become true, or that nobody needs any more, leaves the table."""
    named = {use.name for rule in RULES for use in uses(rule.promql) if use.name}

    for pattern in LATER:
        assert [name for name in emitted if re.fullmatch(pattern, name)] == []
        assert [name for name in named if re.fullmatch(pattern, name)] != []


@pytest.mark.parametrize("pattern", FOREIGN)
def test_what_others_emit_is_needed_and_not_ours(pattern: str, emitted: Metrics) -> None:
    named = {use.name for rule in RULES for use in uses(rule.promql) if use.name}

    assert [name for name in emitted if re.fullmatch(pattern, name)] == []
    assert [name for name in named if re.fullmatch(pattern, name)] != []


def test_no_series_is_recorded_twice() -> None:
    names = [rule.name for rule in RULES if rule.levels]

    assert sorted(names) == sorted(set(names))


def test_a_name_or_a_label_that_nobody_emits_is_found(emitted: Metrics) -> None:
    wrong = uses('sum by (nobody) (dpl_llm_up) + dpl_llm_upp{node="a"}')

    assert broken(wrong, emitted) == [
        f"dpl_llm_up has no label nobody: {LABEL_CURE}",
        f"nobody emits dpl_llm_upp: {NAME_CURE}",
    ]


def test_the_routers_own_series_get_no_node_from_their_job(emitted: Metrics) -> None:
    """With a target label `node` Prometheus would rename the router's to `exported_node`."""
    assert "node" not in emitted["dpl_router_requests_total"]
    assert "node" in emitted["dpl_router_node_cordoned"]


def test_a_simulated_exporter_says_only_what_a_real_one_says(emitted: Metrics) -> None:
    """Else a dashboard is proved over series that nobody has. Its router's names are the real's."""
    said = [sample for box in fleet(9, seed=1) for sample in samples_of(template(box))]
    uses_of = [Use(name, frozenset(labels)) for name, labels in said]
    wrong = broken(uses_of, emitted)

    assert not wrong, "\n".join(sorted(set(wrong)))


def test_a_rule_may_read_what_a_container_does_not_show(emitted: Metrics) -> None:
    """docs/metrics.md lists it, so an alert on it is no mistake."""
    hot = "max by (node, sensor) (dpl_node_temperature_celsius) > 90"

    assert broken(uses(hot), emitted) == []
    assert broken(uses(hot.replace("sensor", "chip")), emitted) != []


@pytest.mark.parametrize("name", NOT_HERE)
def test_what_a_container_lacks_is_in_the_exporter_all_the_same(name: str) -> None:
    collectors = ROOT / "exporter" / "dpl_exporter" / "collectors"
    sources = [file.read_text("utf-8") for file in collectors.glob("*.py")]

    assert [source for source in sources if f'"{name}"' in source] != []
