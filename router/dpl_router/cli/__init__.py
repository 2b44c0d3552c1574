"""The command line: one module per noun, loaded when it is called, so that `--help` is quick."""

import importlib

import rich_click as click

from dpl_router import __version__

VERBS = {
    "up": "dpl_router.cli.up:up",
    "stack": "dpl_router.cli.stack:stack",
    "serve": "dpl_router.cli.serve:serve",
    "get": "dpl_router.cli.get:get",
    "ask": "dpl_router.cli.ask:ask",
    "load": "dpl_router.cli.models:load",
    "unload": "dpl_router.cli.models:unload",
    "pull": "dpl_router.cli.models:pull",
    "cordon": "dpl_router.cli.nodes:cordon",
    "uncordon": "dpl_router.cli.nodes:uncordon",
    "drain": "dpl_router.cli.nodes:drain",
    "lock": "dpl_router.cli.nodes:lock",
    "unlock": "dpl_router.cli.nodes:unlock",
    "query": "dpl_router.cli.query:query",
    "diagnose": "dpl_router.cli.diagnose:diagnose",
    "config": "dpl_router.cli.config:config",
    "sd": "dpl_router.cli.sd:sd",
    "key": "dpl_router.cli.key:key",
}
"""Verb -> module:command, in the order of the help."""


class Verbs(click.RichGroup):
    """Finds a verb's module when somebody asks for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return super().get_command(ctx, cmd_name)
        module_name, _, attribute = VERBS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module_name), attribute)
        return command


@click.group(
    cls=Verbs, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="dpl", message="%(prog)s %(version)s")
def dpl() -> None:
    """One dependable LLM service from a handful of unequal machines.

    Start with `dpl up`: the whole stack on this machine, with a real model.
    """


@dpl.command()
def version() -> None:
    """Print the version."""
    click.echo(f"dpl {__version__}")
