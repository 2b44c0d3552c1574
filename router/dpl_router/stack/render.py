"""The project's Prometheus and Alertmanager files, with the addresses of this machine.

The files are read from the checkout, or from the wheel (`dpl_router/data`). What is written are
whole documents: parsed, changed, dumped. Comments stay in the originals.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from dpl_router.errors import ConfigError
from dpl_router.settings import Mail

PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Addresses:
    """Each `host:port`, reachable from this machine."""

    router: str
    prometheus: str
    alertmanager: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """Files that hold one key each, mode 0600."""

    operator: Path
    viewer: Path


def find_originals(package: Path = PACKAGE) -> Path:
    """The folder that holds `prometheus/` and `alertmanager/`. Raises: ConfigError."""
    for folder in (package.parents[1], package / "data"):
        if (folder / "prometheus/prometheus.yml").is_file():
            return folder
    raise ConfigError(
        "prometheus/ and alertmanager/ are neither beside this checkout nor in the package; "
        "install dpl-router again"
    )


def render_prometheus(
    originals: Path, addresses: Addresses, tokens: Tokens | None
) -> dict[str, Any]:
    """`tokens` None = the router has no keys."""
    folder = originals / "prometheus"
    document = read(folder / "prometheus.yml")
    document["rule_files"] = [str(folder / name) for name in document["rule_files"]]
    for alertmanagers in document["alerting"]["alertmanagers"]:
        aim(alertmanagers, addresses.alertmanager)
    viewer = tokens.viewer if tokens else None
    jobs = {job["job_name"]: job for job in document["scrape_configs"]}
    aim(jobs["prometheus"], addresses.prometheus)
    aim(jobs["alertmanager"], addresses.alertmanager)
    aim(jobs["dpl-router"], addresses.router)
    authorize(jobs["dpl-router"], viewer)
    for job in jobs.values():
        for discovery in job.get("http_sd_configs", ()):
            discovery["url"] = at_router(discovery["url"], addresses)
            authorize(discovery, viewer)
    return document


def render_alertmanager(
    originals: Path,
    addresses: Addresses,
    tokens: Tokens | None,
    zone: str,
    mail: Mail | None = None,
) -> dict[str, Any]:
    """`zone` is a name of the time zone database, as `local_zone` finds it. Without `mail` nobody
    is written to: a receiver without a server would fail at each alert."""
    folder = originals / "alertmanager"
    document = read(folder / "alertmanager.yml")
    document["templates"] = [str(folder / name) for name in document["templates"]]
    for receiver in document["receivers"]:
        for hook in receiver.get("webhook_configs", ()):
            hook["url"] = at_router(hook["url"], addresses)
            authorize(hook.setdefault("http_config", {}), tokens.operator if tokens else None)
    for named in document.get("time_intervals", ()):
        for interval in named["time_intervals"]:
            interval["location"] = zone
    if mail is not None:
        add_mail(document, read(folder / "examples/mail.yml"), mail)
    return document


def add_mail(document: dict[str, Any], example: Mapping[str, Any], mail: Mail) -> None:
    """The receivers of examples/mail.yml in the place of those that are silent."""
    document["global"] |= {
        "smtp_smarthost": str(mail.server),
        "smtp_from": mail.sender,
        "smtp_require_tls": mail.tls,
    }
    if mail.user is not None:
        document["global"] |= {
            "smtp_auth_username": mail.user,
            "smtp_auth_password_file": str(mail.password_file),
        }
    written_to = {receiver["name"]: receiver for receiver in example["receivers"]}
    for receiver in written_to.values():
        for letter in receiver["email_configs"]:
            letter["to"] = ", ".join(mail.to)
    receivers = document["receivers"]
    document["receivers"] = [written_to.get(each["name"], each) for each in receivers]


def authorize(asked: dict[str, Any], token: Path | None) -> None:
    """`type` is spelt: Prometheus 2.42 sends nothing for discovery without it."""
    asked.pop("authorization", None)
    if token is not None:
        asked["authorization"] = {"type": "Bearer", "credentials_file": str(token)}


def aim(job: dict[str, Any], address: str) -> None:
    """The labels of its one target stay."""
    job["static_configs"][0]["targets"] = [address]


def at_router(url: str, addresses: Addresses) -> str:
    return urlsplit(url)._replace(netloc=addresses.router).geturl()


def read(file: Path) -> dict[str, Any]:
    """Raises: ConfigError."""
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{file} is no YAML mapping")
    return document


def write(file: Path, document: Mapping[str, Any], header: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
    file.write_text(f"# {header}\n{text}", encoding="utf-8")


def local_zone(
    environment: Mapping[str, str] = os.environ, localtime: Path = Path("/etc/localtime")
) -> str:
    """The machine's zone by name; UTC where it is not known by one.

    Alertmanager refuses a file with a zone that this machine has no data of.
    """
    name = environment.get("TZ", "").removeprefix(":")
    if not name and localtime.is_symlink():
        _, _, name = str(localtime.resolve()).partition("zoneinfo/")
    try:
        return ZoneInfo(name).key if name else "UTC"
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"
