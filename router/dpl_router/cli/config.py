"""`dpl config`: what is wrong in nodes.yaml, and its JSON Schema."""

from pathlib import Path

import rich_click as click

FILE = click.Path(path_type=Path)


@click.group()
def config() -> None:
    """Look at nodes.yaml."""


@config.command()
@click.argument("file", type=FILE, default="nodes.yaml", envvar="DPL_NODES_FILE")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="github: as annotations of a workflow run.",
)
@click.pass_context
def check(ctx: click.Context, file: Path, form: str) -> None:
    """Name every mistake in FILE (DPL_NODES_FILE, nodes.yaml) with its line; exit 2 if any."""
    import os

    from dpl_router.inventory.load import load
    from dpl_router.inventory.mistakes import InventoryError, Mistake, as_github, as_json

    if form == "text":
        file = file.absolute()  # which one it was, where none was named
    mistakes: tuple[Mistake, ...] = ()
    notes: tuple[str, ...] = ()
    count = 0
    try:
        inventory = load(file, os.environ, os.environ.get("DPL_API_KEY"))
        notes, count = inventory.notes, len(inventory.nodes)
    except InventoryError as error:
        mistakes = error.mistakes
    if form == "json":
        click.echo(as_json(mistakes, notes))
    else:
        for note in notes:
            click.echo(f"note: {note}", err=True)
        for mistake in mistakes:
            click.echo(as_github(mistake) if form == "github" else mistake, err=form == "text")
    if mistakes:
        ctx.exit(2)
    if form == "text":
        click.echo(f"{file}: {count} {'node' if count == 1 else 'nodes'}, no mistakes")


@config.command()
def schema() -> None:
    """Print the JSON Schema of nodes.yaml, for editors."""
    from dpl_router.inventory.schema import rendered

    click.echo(rendered(), nl=False)
