"""Each alert has a line that says whom it reaches, with the labels that the rule gives it."""

from pathlib import Path
from typing import Any

import yaml

from tests.contract.routes import read_routes

RULES = Path(__file__).parents[2] / "prometheus" / "rules"
WINDOWS = {"long", "short"}
"""Labels that tell the windows of a burn rate; no route looks at them."""


def alerts() -> list[tuple[str, dict[str, Any]]]:
    return [
        (rule["alert"], {k: v for k, v in rule["labels"].items() if k not in WINDOWS})
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]


def test_every_alert_says_whom_it_reaches_with_the_labels_of_its_rule() -> None:
    table = [route.labels for route in read_routes()]
    missing = [
        f"{alert} {labels}"
        for alert, labels in alerts()
        if not any({"alertname": alert, **labels}.items() <= line.items() for line in table)
    ]

    assert not missing, "write a line in prometheus/tests/routes.txt for:\n" + "\n".join(missing)


def test_no_line_is_for_an_alert_that_does_not_exist() -> None:
    known = {(alert, labels["severity"]) for alert, labels in alerts()}
    told = {(route.labels["alertname"], route.labels["severity"]) for route in read_routes()}

    assert told - known == set()


def test_what_takes_a_node_out_reaches_the_router_and_people() -> None:
    for route in read_routes():
        acts = "action" in route.labels

        assert (route.receivers == "router-actions,ops") == acts, route.name
