"""What several dashboards show: a node's state, and addresses of other dashboards."""

from grafana.build.panels import lines, states
from grafana.build.parts import BAD, BUSY, GOOD, NONE, ODD, Mapped, Query
from grafana.build.sdk import dashboard, units

STATES: Mapped = {
    0: ("down", BAD),
    1: ("eligible", GOOD),
    2: ("exclusive", BUSY),
    3: ("cordoned", ODD),
    4: ("unknown", NONE),
}
STATE = """\
  (max by (node) (dpl_router_node_cordoned{@node}) == 1) * 3
or
  (max by (node) (dpl_router_circuit_state{@node}) == 2) * 0
or
  (max by (node) (dpl_lock_exclusive{@node}) == 1) * 2
or
  max by (node) (node:dpl_eligible:bool{@node})
or
  max by (node) (dpl_router_node_cordoned{@node}) * 0 + 4
"""
"""A number of STATES per node: what an operator did first, then what is seen, then what is told."""

MODES: Mapped = {0: ("blind", BAD), 1: ("direct", ODD), 2: ("promql", GOOD)}
MODE = (
    'max(dpl_router_scheduling_mode{@,dpl_router_scheduling_mode="promql"}) * 2'
    ' + max(dpl_router_scheduling_mode{@,dpl_router_scheduling_mode="direct"})'
)
"""A number of MODES."""

SAME_TIME = "${__url_time_range}&${datasource:queryparam}"
NODE_URL = f"/d/dpl-node?var-node=${{__value.text}}&{SAME_TIME}"
MODEL_URL = f"/d/dpl-llm?var-model=${{__value.text}}&{SAME_TIME}"


def node_states(nodes: str, *, width: int = 24) -> dashboard.Panel:
    """`nodes` is "" for all, "node" for those of the variable."""
    return states(
        "State of each node",
        "Eligible: gets requests. Exclusive: one lease holder has all of it. Cordoned: nothing "
        "new is sent. Unknown: no fresh facts, used last. Down: it or its model server does not "
        "answer.",
        Query(STATE.replace("@node", f"@{nodes}"), "{{node}}"),
        mapped=STATES,
        width=width,
    )


def facts_from() -> dashboard.Panel:
    return states(
        "Where the facts come from",
        "promql: Prometheus. direct: the router asks the exporters. blind: its own counts only.",
        Query(MODE, "mode"),
        mapped=MODES,
        width=8,
    )


DCGM_INTERVAL = "15s"
"""How often Prometheus asks a dcgm-exporter (prometheus.yml)."""


def energy(change: str) -> str:
    """Of each node's GPUs: joules where `change` is "increase", watts where it is "rate".

    Of our exporter, else of dcgm-exporter, which tells millijoules, as the rule
    node:dpl_energy_joules_per_output_token has it.
    """
    window = {"increase": "$__range", "rate": "$__rate_interval"}[change]
    ours = f"{change}(dpl_gpu_energy_joules_total{{@}}[{window}])"
    theirs = f'{change}(DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{@,node!=""}}[{window}])'
    return (
        f"(sum by (node) (max by (node, gpu) ({ours}))"
        f" or sum by (node) (max by (node, gpu) ({theirs})) / 1000)"
    )


def joules_per_token(title: str, matchers: str, *, width: int = 8) -> dashboard.Panel:
    """`matchers` as in a query: "" or "node"."""
    recorded = f"node:dpl_energy_joules_per_output_token:ratio_rate15m{{@{matchers}}}"
    return lines(
        title,
        "Energy of the node's GPUs over its output tokens, over 15 minutes.",
        Query(f"max by (node) ({recorded})", "{{node}}"),
        unit=units.Joule,
        width=width,
    )


def retries(matchers: str) -> dashboard.Panel:
    """`matchers` as in a query: "" or "model". All of them are 0 before the first one."""
    rate = f"rate(dpl_router_retries_total{{@{matchers}}}[$__rate_interval])"
    return lines(
        "Retries",
        "Second tries on another node, before the client got a byte.",
        Query(f"sum by (reason) ({rate})", "{{reason}}"),
        Query(f"sum({rate}) or vector(0)", "all"),
        unit=units.RequestsPerSecond,
    )
