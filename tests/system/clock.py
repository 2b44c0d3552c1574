"""The project's rules and routes on a faster clock: a minute takes two seconds.

What stays as it is: the expressions with their windows, and the whole group of wedged nodes, since
its promise is one of time.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.programs import ROOT

FASTER = 30
TRUE_TIMES = "dpl_wedge"
PAUSES = ("for", "keep_firing_for")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def sooner(duration: str, least: float = 0.0) -> str:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", duration).groups()  # type: ignore[union-attr]
    seconds = int(number) * UNITS[unit] / FASTER
    return f"{round(max(least, seconds) * 1000)}ms" if seconds else "0s"


def sooner_rules(folder: Path) -> Path:
    """The project's rules; a group runs once a second, or in the thirtieth of its interval."""
    folder.mkdir()
    for file in sorted((ROOT / "prometheus/rules").glob("*.rules.yml")):
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in document["groups"]:
            if group["name"] == TRUE_TIMES:
                continue
            group["interval"] = sooner(group["interval"], least=1.0)
            for rule in group["rules"]:
                rule.update({key: sooner(rule[key]) for key in PAUSES if key in rule})
        text = yaml.safe_dump(document, sort_keys=False)
        (folder / file.name).write_text(text, encoding="utf-8")
    return folder


def sooner_routes(route: dict[str, Any]) -> None:
    for name in ("group_wait", "group_interval", "repeat_interval"):
        if name in route:
            route[name] = sooner(route[name])
    for below in route.get("routes", ()):
        sooner_routes(below)
