"""`dpl up`: the whole stack on this machine, in the foreground."""

from pathlib import Path
from typing import Any

import rich_click as click

from dpl_router.cli.people import mail_of, telling_people, webhook_file

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--demo", is_flag=True, help="Take the demo model without asking.")
@click.option(
    "--demo-nodes",
    type=click.IntRange(1, 8),
    help="So many nodes with the demo model; 2 show how work is spread.",
)
@click.option("--nodes", type=FILE, help="Your nodes.yaml, instead of the stack's own.")
@click.option(
    "--data-dir",
    type=FOLDER,
    default=".dpl",
    show_default=True,
    help="Where everything that is written goes.",
)
@click.option(
    "--parts-dir",
    type=FOLDER,
    default=".parts",
    show_default=True,
    help="Where fetched programs and weights go.",
)
@click.option("--keys-file", type=FILE, help="Who may do what. Without it: this machine alone.")
@click.option("--listen", metavar="HOST:PORT", help="The router's address  [default: port 8000]")
@telling_people
@click.option("--insecure-open", is_flag=True, help="Serve a network without keys.")
def up(
    demo: bool,
    demo_nodes: int | None,
    nodes: Path | None,
    data_dir: Path,
    parts_dir: Path,
    keys_file: Path | None,
    listen: str | None,
    insecure_open: bool,
    **people: Any,
) -> int:
    """Run the whole stack here: LLM, exporter, router, Prometheus, Alertmanager.

    Uses the LLM servers that run on this machine, or offers a small demo model.
    Ctrl-C ends all; SIGTERM lets running answers finish.
    """
    import sys

    from dpl_router.settings import parse_address
    from dpl_router.stack import session

    def consent(question: str) -> bool:
        return not sys.stdin.isatty() or click.confirm(question, default=True, err=True)

    options = session.Options(
        data_dir=data_dir.absolute(),
        parts_dir=parts_dir.absolute(),
        nodes=nodes.absolute() if nodes else None,
        demo_nodes=demo_nodes or int(demo),
        keys_file=keys_file.absolute() if keys_file else None,
        listen=parse_address(listen, "--listen") if listen else None,
        insecure_open=insecure_open,
        mail=mail_of(people),
        alarm_webhook_file=webhook_file(people["alarm_webhook_file"]),
    )
    return session.up(options, lambda text: click.echo(text, err=True), consent)
