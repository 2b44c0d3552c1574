"""`dpl sd`: the nodes as Prometheus' service discovery, for a Prometheus that reads files."""

from pathlib import Path

import rich_click as click


@click.command()
@click.argument("job", default="dpl-exporter")
@click.option(
    "--format",
    "form",
    type=click.Choice(["file_sd"]),
    default="file_sd",
    show_default=True,
    help="What file_sd_configs reads; http_sd has the same shape.",
)
@click.option(
    "--nodes",
    envvar="DPL_NODES_FILE",
    type=click.Path(path_type=Path),
    default="nodes.yaml",
    show_default=True,
    help="The nodes (DPL_NODES_FILE).",
)
def sd(job: str, form: str, nodes: Path) -> None:
    """Print the targets of a scrape JOB as JSON.

    Jobs: dpl-exporter; node, dcgm, gpu (`metrics` in the nodes file); and one for each kind of LLM
    server with metrics of its own, like vllm.
    """
    import json
    import os

    from dpl_router.inventory.discovery import NAMES_NO_MODEL, only_model, targets
    from dpl_router.inventory.load import load

    inventory = load(nodes, os.environ, os.environ.get("DPL_API_KEY"))
    found = targets(inventory, job, {})
    click.echo(json.dumps(found, indent=2))
    listed = {target["labels"]["node"] for target in found if job in NAMES_NO_MODEL}
    for node in inventory.nodes:
        if node.name in listed and only_model(node, {}) is None:
            click.echo(
                f"{node.name}: its metrics name no model; name the one in `models`", err=True
            )
