"""`dpl load`, `unload`, `pull`: where models are. What was done is said on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from dpl_router.cli import client

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from rich.console import Console

PATIENCE = 3600.0
"""Seconds of silence: a large model loads for minutes, and the router has time-outs of its own."""

Verb = TypeVar("Verb", bound=Callable[..., Any])


def on_node(verb: Verb) -> Verb:
    return click.option("--on", "node", metavar="NODE", help="There; else where it is best.")(verb)


@click.command()
@click.argument("model")
@on_node
@client.router_option
def load(model: str, node: str | None, url: str) -> None:
    """Load MODEL into memory; where it is loaded it stays so for longer."""
    with waiting(f"loading {model}"):
        done = told(url, "start", model, node)
    seconds = done.get("seconds")
    took = f" in {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    say(f"{done.get('model', model)} is loaded on {done.get('node')}{took}")


@click.command()
@click.argument("model")
@on_node
@client.router_option
def unload(model: str, node: str | None, url: str) -> None:
    """Let MODEL go from memory, on every node or one; it stays installed."""
    with waiting(f"unloading {model}"):
        done = told(url, "unload", model, node)
    nodes = done.get("nodes") or ()
    name = done.get("model", model)
    say(f"{name} is unloaded on {', '.join(nodes)}" if nodes else f"{name} was loaded nowhere")
    if kept := done.get("kept"):
        servers = "its server keeps" if len(kept) == 1 else "their servers keep"
        say(f"still loaded on {', '.join(kept)}: {servers} it")


@click.command()
@click.argument("model")
@on_node
@client.router_option
def pull(model: str, node: str | None, url: str) -> None:
    """Bring MODEL to a node from the registry; at once where it is there already."""
    body = json.dumps({"model": model, "node": node}).encode()
    connection = client.connect(url, PATIENCE)
    try:
        answer = client.ask(connection, url, "POST", "/api/pull", body)
        what = f"{model} on {node}" if node else model
        follow(progress_of(answer, url, what), model)
    finally:
        connection.close()
    say(f"{model} is there")


def told(url: str, verb: str, model: str, node: str | None) -> dict[str, Any]:
    """What the router did. Raises: CallFailed."""
    from http.client import HTTPException
    from urllib.parse import quote, urlencode

    path = f"/api/models/{verb}/{quote(model, safe='/:')}"
    connection = client.connect(url, PATIENCE)
    try:
        answer = client.ask(
            connection, url, "POST", f"{path}?{urlencode({'node': node})}" if node else path
        )
        done = client.decode(answer.read(), url)
    except (OSError, HTTPException) as error:
        raise client.unreachable(url, error) from error
    finally:
        connection.close()
    if not isinstance(done, dict):
        raise client.not_a_router(url)
    return done


def progress_of(answer: HTTPResponse, url: str, what: str) -> Iterator[dict[str, Any]]:
    """Each line, up to success. Raises: CallFailed where the pull of `what` fails or breaks off."""
    from http.client import HTTPException

    try:
        for line in answer:
            progress = client.decode(line, url) if line.strip() else {}
            if not isinstance(progress, dict):
                raise client.not_a_router(url)
            if "error" in progress:
                said = client.message_of(line) or "no reason given"
                raise client.CallFailed(
                    f"pulling {client.printable(what)} failed: {said.rstrip('.')}; "
                    "`dpl get nodes` shows the nodes"
                )
            if progress.get("status") == "success":
                return
            yield progress
    except (OSError, HTTPException) as error:
        raise client.CallFailed(f"the pull broke off ({error}); run it again to go on") from error
    raise client.CallFailed("the pull ended before its end; run it again to go on")


def follow(lines: Iterator[dict[str, Any]], model: str) -> None:
    """A bar for each layer on a terminal; elsewhere each new step once."""
    console = terminal()
    if console is None:
        last = None
        for progress in lines:
            status = str(progress.get("status", ""))
            if status and status != last:
                say(status)
            last = status
        return
    draw(lines, console, model)


def draw(lines: Iterator[dict[str, Any]], console: Console, model: str) -> None:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn()
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console) as shown:
        whole = shown.add_task(client.printable(model), total=None)
        layers: dict[str, tuple[int, int]] = {}
        for progress in lines:
            digest, total = progress.get("digest"), progress.get("total")
            if not isinstance(digest, str) or not isinstance(total, int):
                shown.update(whole, description=client.printable(str(progress.get("status", ""))))
                continue
            done = progress.get("completed")
            layers[digest] = (done if isinstance(done, int) else 0, total)
            shown.update(
                whole,
                description=f"pulling {client.printable(model)}",
                completed=sum(part for part, _ in layers.values()),
                total=sum(size for _, size in layers.values()),
            )


def waiting(what: str) -> Any:
    """A sign of life on a terminal, while the block runs."""
    from contextlib import nullcontext

    console = terminal()
    if console is None:
        return nullcontext()
    from rich.text import Text

    return console.status(Text(client.printable(what)))


def terminal() -> Console | None:
    import sys

    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    return Console(stderr=True)


def say(text: str) -> None:
    click.echo(client.printable(text), err=True)
