"""Three repeats of the alert are three of the interval that our alertmanager.yml names."""

from pathlib import Path

import yaml

from dpl_router.settings import Settings

ROOT = Path(__file__).parents[3]


def test_the_repeat_that_cordons_are_measured_by_is_the_routes_own() -> None:
    document = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text("utf-8"))
    (route,) = [one for one in document["route"]["routes"] if one["receiver"] == "router-actions"]

    repeat = Settings(Path("nodes.yaml"), Path()).alert_repeat

    assert route["repeat_interval"] == "1m"
    assert repeat == 60.0


def test_actions_stand_only_on_what_the_router_cannot_see_by_itself() -> None:
    """A dead exporter or a dead server cordons nobody: no rule on `up` or `llm_up` alone acts."""
    acting = {
        rule["alert"]
        for path in (ROOT / "prometheus" / "rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if "action" in rule.get("labels", {})
    }

    assert acting == {
        "DplGpuXidCritical",
        "DplGpuRecoveryNeeded",
        "DplGpuMissing",
        "DplNodeWedged",
    }
