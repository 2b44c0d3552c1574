"""What queries of the dashboards answer, on series that are known: promtool is asked."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.dashboards import boards
from tests.dashboards.boards import VALUES
from tests.fakes.programs import find_program

Given = Mapping[str, str]
"""Series -> its values, as promtool writes them."""
Sample = tuple[str, float]
"""Its labels, its value."""


def query(board: str, where: str, place: int = 0) -> str:
    found = [each for each in boards.queries(boards.read(board)) if each.where == where]
    return found[place].filled(VALUES)


def at(moment: str, promql: str, *samples: Sample) -> dict[str, Any]:
    expected = [{"labels": labels, "value": value} for labels, value in samples]
    return {"expr": promql, "eval_time": moment, "exp_samples": expected}


def proved(folder: Path, interval: str, given: Given, *asked: Mapping[str, Any]) -> None:
    series = [{"series": name, "values": values} for name, values in given.items()]
    test = {"interval": interval, "input_series": series, "promql_expr_test": list(asked)}
    file = folder / "panels_test.yml"
    file.write_text(yaml.safe_dump({"tests": [test]}), encoding="utf-8")
    promtool = [find_program("promtool"), "test", "rules", str(file)]
    ran = subprocess.run(promtool, capture_output=True, text=True, timeout=60, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_new_version_is_marked_for_five_minutes_and_a_new_node_is_not(tmp_path: Path) -> None:
    marks = query("dpl-overview", "annotation New versions")
    given = {
        'dpl_exporter_build_info{node="a",version="1"}': "1x20 stale",
        'dpl_exporter_build_info{node="a",version="2"}': "_x20 1x20",
        'dpl_exporter_build_info{node="b",version="1"}': "_x20 1x20",
        'dpl_router_build_info{version="1"}': "1x20 stale",
        'dpl_router_build_info{version="2"}': "_x20 1x20",
    }

    proved(
        tmp_path,
        "1m",
        given,
        at("15m", marks),
        at("22m", marks, ('{node="a",version="2"}', 1), ('{version="2"}', 1)),
        at("30m", marks),
    )


def test_what_never_fired_makes_no_firing_shorter(tmp_path: Path) -> None:
    """Twice 10 minutes of firing among eight short pendings are 10 minutes each time, not two."""
    alert = 'alertname="DplX",severity="warning",node="a"'
    firing, since = "", ""
    for beginning in (0, 1000):
        firing += f" _x4 1x40 stale _x{20 - 1}"
        since += f" {beginning}x44 stale _x{20 - 1}"
        for short in range(4):
            since += f" {beginning + 100 + short}x2 stale"
            firing += " _x4"
    given = {
        f'ALERTS{{{alert},alertstate="firing"}}': firing,
        f"ALERTS_FOR_STATE{{{alert}}}": since,
    }
    name = '{alertname="DplX"}'

    proved(
        tmp_path,
        "15s",
        given,
        at("50m", query("dpl-alerts", "How often"), (name, 2)),
        at("50m", query("dpl-alerts", "How long in all"), (name, 1230)),
        at("50m", query("dpl-alerts", "How long each time"), (name, 615)),
    )


def test_an_alert_that_fires_all_the_time_fired_once(tmp_path: Path) -> None:
    alert = 'alertname="DplX",severity="warning",node="a"'
    given = {
        f'ALERTS{{{alert},alertstate="firing"}}': "1x500",
        f"ALERTS_FOR_STATE{{{alert}}}": "7x500",
    }

    proved(
        tmp_path,
        "15s",
        given,
        at("2h", query("dpl-alerts", "How often"), ('{alertname="DplX"}', 1)),
    )


def test_energy_is_our_exporters_or_dcgm_exporters_and_tokens_are_those_of_the_same_nodes(
    tmp_path: Path,
) -> None:
    """As in the recorded joules per token: else tokens without a meter make the others cheaper."""
    tokens = "dpl_router_upstream_output_tokens_total"
    given = {
        'dpl_gpu_energy_joules_total{node="a",gpu="0"}': "0+1500x300",
        'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{node="a",gpu="0"}': "0+1500000x300",
        'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{node="b",gpu="0"}': "0+3000000x300",
        'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0"}': "0+3000000x300",
        f'{tokens}{{node="a",model="m"}}': "0+1500x300",
        f'{tokens}{{node="b",model="m"}}': "0+1500x300",
        f'{tokens}{{node="c",model="m"}}': "0+90000x300",
    }

    proved(
        tmp_path,
        "15s",
        given,
        at("1h15m", query("dpl-overview", "GPU power"), ("{}", 100 + 200)),
        at("1h15m", query("dpl-overview", "Cost of a million tokens"), ("{}", 1.5e6 / 3.6e6 * 0.3)),
    )
