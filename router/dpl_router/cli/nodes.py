"""`dpl cordon`, `uncordon`, `drain`, `lock`, `unlock`: what is sent to a node. Said on stderr."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import rich_click as click

from dpl_router.cli import client

PATIENCE = 3700.0
"""Seconds; the router waits an hour at most, and answers then."""
REMEDIES = {
    "refused": f"; {client.KEY_REMEDY}",
    "unreachable": "; see whether its exporter runs",
}
"""By what became of an `unlock`."""
SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Verb = TypeVar("Verb", bound=Callable[..., Any])


class Time(click.ParamType[float]):
    """Seconds, from a number or `500ms`, `30s`, `5m`, `1h`, `7d`."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        parts = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)", str(value))
        if parts is None:
            self.fail(f"{value!r} is no time; write it as 30, 30s, 5m or 1h", param, ctx)
        return float(parts[1]) * SECONDS[parts[2]]


def reason(verb: Verb) -> Verb:
    return click.option("--reason", default="", help="Shown wherever the node is.")(verb)


def patience(verb: Verb) -> Verb:
    return click.option(
        "--timeout", type=Time(), help="How long to wait, like 90s; else `drain` of nodes.yaml."
    )(verb)


@click.command()
@click.argument("node")
@reason
@client.router_option
def cordon(node: str, reason: str, url: str) -> None:
    """Send nothing new to NODE; running answers finish. It outlasts a restart of the router."""
    done = told(url, node, "cordon", {"reason": reason})
    running = done.get("in_flight") or 0
    rest = f"; {answers(running)} there, see `dpl drain {node}`" if running else ""
    say(f"{node} is cordoned{rest}")
    warn_unless_kept(done)


@click.command()
@click.argument("node")
@client.router_option
def uncordon(node: str, url: str) -> None:
    """Let NODE serve again, whoever cordoned it."""
    done = told(url, node, "uncordon", {})
    say(uncordoned(node, done))
    warn_unless_kept(done)


@click.command()
@click.argument("node")
@reason
@patience
@click.option("--force", is_flag=True, help="Cut the answers that still run then.")
@client.router_option
def drain(node: str, reason: str, timeout: float | None, force: bool, url: str) -> int:
    """Cordon NODE and wait until no answer runs there. Exit 1: some still do."""
    wish = {"reason": reason, "force": force}
    done = told(url, node, "drain", wish if timeout is None else {**wish, "timeout": timeout})
    warn_unless_kept(done)
    cut = f", {done.get('cut')} cut" if done.get("cut") else ""
    if done.get("drained"):
        say(f"{node} is drained after {done.get('seconds')} s{cut}")
        return 0
    running = done.get("running") or 0
    say(f"{node} is cordoned, but {answers(running)} there; again with --timeout, or --force")
    return 1


@click.command()
@click.argument("node")
@reason
@patience
@client.router_option
def lock(node: str, reason: str, timeout: float | None, url: str) -> None:
    """Hold the whole of NODE, for a measurement: nobody else gets a place until `unlock`."""
    wish: dict[str, object] = {"reason": reason}
    told(url, node, "lock", wish if timeout is None else {**wish, "timeout": timeout})
    say(f"{node} is locked; `dpl unlock {node}` ends it")


@click.command()
@click.argument("node", required=False)
@click.option("--all", "every", is_flag=True, help="Every node.")
@client.router_option
def unlock(node: str | None, every: bool, url: str) -> int:
    """End the lock of NODE; where it is not ours, release whoever holds the node."""
    if every == (node is not None):
        raise click.UsageError("name one node, or say --all", click.get_current_context())
    if node is not None:
        outcomes = [told(url, node, "unlock", {})]
    else:
        outcomes = client.post_json(url, "/api/unlock/all", {}, PATIENCE)
        if not isinstance(outcomes, list) or not all(isinstance(one, dict) for one in outcomes):
            raise client.not_a_router(url)
    for one in outcomes:
        outcome = str(one.get("outcome"))
        say(f"{one.get('node')}: {outcome}{REMEDIES.get(outcome, '')}")
    good = ("released", "nothing was held", "no exporter")
    return 0 if all(one.get("outcome") in good for one in outcomes) else 1


def told(url: str, node: str, verb: str, wish: dict[str, object]) -> dict[str, Any]:
    """What the router did. Raises: CallFailed."""
    from urllib.parse import quote

    done = client.post_json(url, f"/api/nodes/{quote(node, safe='')}/{verb}", wish, PATIENCE)
    if not isinstance(done, dict):
        raise client.not_a_router(url)
    return done


def uncordoned(node: str, done: dict[str, Any]) -> str:
    """It serves again only where it was cordoned and nothing else stands in the way."""
    if done.get("state") not in ("ready", "busy"):
        return f"{node} is not cordoned; it is {done.get('reason') or 'not known what it does'}"
    return f"{node} serves again" if done.get("lifted") else f"{node} was not cordoned; it serves"


def answers(running: int) -> str:
    return "1 answer still runs" if running == 1 else f"{running} answers still run"


def warn_unless_kept(done: dict[str, Any]) -> None:
    if done.get("kept") is False:
        say("the router could not write that down: a restart forgets it; see to its disk")


def say(text: str) -> None:
    click.echo(client.printable(text), err=True)
