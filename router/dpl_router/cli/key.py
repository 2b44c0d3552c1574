"""`dpl key`: makes keys. A key is shown once; the keys file holds its hash."""

from pathlib import Path

import rich_click as click


@click.group()
def key() -> None:
    """Make keys for the router's callers."""


@key.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["viewer", "user", "operator"]),
    required=True,
    help="viewer looks, user asks models, operator does everything.",
)
@click.option(
    "--keys-file",
    envvar="DPL_KEYS_FILE",
    type=click.Path(path_type=Path),
    help="Where its hash is appended (DPL_KEYS_FILE); made where it is missing.",
)
def new(name: str, role: str, keys_file: Path | None) -> None:
    """Print a new key for NAME, once, and append its hash to the keys file."""
    from dpl_router.errors import ConfigError
    from dpl_router.security.keys import Role
    from dpl_router.security.new_key import new_key

    if keys_file is None:
        raise ConfigError(
            "no keys file is named, so nobody would know the key; say --keys-file keys.yaml "
            "or set DPL_KEYS_FILE"
        )
    made = new_key(keys_file, name, Role[role.upper()])
    click.echo(f"{keys_file} now knows {name!r} as {role}; the key is shown only here:", err=True)
    click.echo(made)
