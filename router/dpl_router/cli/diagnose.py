"""`dpl diagnose`: what the router itself finds wrong, with its evidence and what to do."""

from typing import Any

import rich_click as click

from dpl_router.cli import client
from dpl_router.cli.tables import as_json, as_yaml

FORMATS = {"json": as_json, "yaml": as_yaml}
WRONG = ("warning", "critical")


@click.command()
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="For programs.")
@client.router_option
def diagnose(output: str | None, url: str) -> int:
    """Say what is wrong, the gravest first, and what to do. Exit 1: something is."""
    found = findings(url)
    click.echo(FORMATS[output](found) if output else "\n".join(map(shown, found)))
    return 1 if any(one.get("severity") in WRONG for one in found) else 0


def findings(url: str) -> list[dict[str, Any]]:
    """Raises: CallFailed."""
    told = client.get_json(url, "/api/debug/diagnosis")
    found = told.get("findings") if isinstance(told, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise client.not_a_router(url)
    return found


def shown(one: dict[str, Any]) -> str:
    """A line, and below it the evidence and the remedy; without a node it is of the whole fleet."""
    whose = f"{one['node']}: " if one.get("node") else ""
    head = f"{one.get('severity')}: {whose}{one.get('what')}"
    rest = [f"  {line}" for line in str(one.get("evidence") or "").splitlines()]
    if one.get("remedy"):
        rest.append(f"  → {one['remedy']}")
    return client.printable("\n".join([head, *rest]))
