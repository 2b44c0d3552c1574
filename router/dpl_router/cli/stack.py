"""`dpl stack`: the parts of a running `dpl up`, and what it needs ahead of time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

FOLDER = click.Path(file_okay=False, path_type=Path)
Verb = TypeVar("Verb", bound=Callable[..., Any])


def data_option(verb: Verb) -> Verb:
    return click.option(
        "--data-dir", type=FOLDER, default=".dpl", show_default=True, help="As given to `dpl up`."
    )(verb)


@click.group()
def stack() -> None:
    """Look at, stop and start the parts of a running `dpl up`."""


@stack.command()
@data_option
def status(data_dir: Path) -> None:
    """List the parts."""
    from dpl_router.stack.door import call

    parts = call(data_dir, {"do": "status"})["parts"]
    width = max(len(part["name"]) for part in parts)
    click.echo(f"{'NAME':<{width}}   {'STATE':<8}   {'PID':<7}   RESTARTS")
    for part in parts:
        pid = part["pid"] or "-"
        click.echo(f"{part['name']:<{width}}   {part['state']:<8}   {pid:<7}   {part['restarts']}")


@stack.command()
@click.argument("name")
@data_option
def stop(name: str, data_dir: Path) -> None:
    """Stop one part, to see what then happens."""
    from dpl_router.stack.door import call

    call(data_dir, {"do": "stop", "part": name})
    click.echo(f"{name} is stopped; back: dpl stack start {name}", err=True)


@stack.command()
@click.argument("name")
@data_option
def start(name: str, data_dir: Path) -> None:
    """Start one part again; returns when it is ready."""
    from dpl_router.stack.door import call

    call(data_dir, {"do": "start", "part": name})
    click.echo(f"{name} is ready", err=True)


@stack.command()
@click.option("--parts-dir", type=FOLDER, default=".parts", show_default=True)
@click.option("--browser", is_flag=True, help="Also what the tests of the pages need.")
def fetch(parts_dir: Path, browser: bool) -> None:
    """Fetch programs and weights ahead; nothing is done twice."""
    from dpl_router.stack import programs

    def say(text: str) -> None:
        click.echo(text, err=True)

    programs.fetch_programs(parts_dir, say)
    programs.fetch_weights(parts_dir, say)
    if browser:
        programs.fetch_browser(say)
