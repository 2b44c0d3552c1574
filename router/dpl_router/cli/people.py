"""How people are told: options that `dpl up` and `dpl serve` share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

if TYPE_CHECKING:
    from dpl_router.settings import Mail

FILE = click.Path(dir_okay=False, path_type=Path)
OPTIONS = (
    click.option(
        "--smtp-server",
        envvar="DPL_SMTP_SERVER",
        metavar="HOST:PORT",
        help="Sends mail of alerts; without it nobody is written to.",
    ),
    click.option("--smtp-from", envvar="DPL_SMTP_FROM", metavar="ADDRESS"),
    click.option("--smtp-to", envvar="DPL_SMTP_TO", metavar="ADDRESS[,…]"),
    click.option("--smtp-user", envvar="DPL_SMTP_USER"),
    click.option(
        "--smtp-password-file",
        envvar="DPL_SMTP_PASSWORD_FILE",
        type=FILE,
        help="Opened at each letter.",
    ),
    click.option(
        "--smtp-plain", envvar="DPL_SMTP_PLAIN", is_flag=True, help="Without TLS: all in clear."
    ),
    click.option(
        "--alarm-webhook-file",
        envvar="DPL_ALARM_WEBHOOK_FILE",
        type=FILE,
        help="Holds the URL that the router calls when the alarm chain is silent.",
    ),
)

Command = TypeVar("Command", bound=Callable[..., Any])


def telling_people(command: Command) -> Command:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def mail_of(given: Mapping[str, Any]) -> "Mail | None":
    """Raises: ConfigError."""
    from dpl_router.settings import mail_settings

    return mail_settings(
        given["smtp_server"],
        given["smtp_from"],
        given["smtp_to"],
        given["smtp_user"],
        given["smtp_password_file"],
        tls=not given["smtp_plain"],
    )


def webhook_in(file: Path | None) -> str | None:
    """The URL in the file's one line. Raises: ConfigError, which never holds it."""
    from dpl_router.errors import ConfigError

    if file is None:
        return None
    try:
        url = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--alarm-webhook-file {file} cannot be read: {error}") from error
    if not url.startswith(("http://", "https://")) or len(url.split()) != 1:
        raise ConfigError(f"--alarm-webhook-file {file} must hold one address, http://…")
    return url


def webhook_file(file: Path | None) -> Path | None:
    """Absolute, and looked into. Raises: ConfigError."""
    webhook_in(file)
    return file.absolute() if file else None
