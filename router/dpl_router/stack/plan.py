"""What `dpl up` starts: every part with its command line, and the order."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dpl_router.settings import Address, Mail
from dpl_router.stack.child import Part
from dpl_router.stack.demo_model import NAME
from dpl_router.stack.logs import warnings
from dpl_router.stack.programs import Programs
from dpl_router.stack.render import Addresses, Tokens
from dpl_router.stack.sources import Sources

DRAIN = 34.0
"""Seconds for the router's own drain (30 s by default) and its way out."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything that the command lines need."""

    data_dir: Path
    listen: Address
    addresses: Addresses
    sources: Sources
    programs: Programs
    keys_file: Path | None
    tokens: Tokens | None
    insecure_open: bool
    mail: Mail | None = None
    alarm_webhook_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    parts: tuple[Part, ...]
    stages: tuple[tuple[str, ...], ...]
    """Started side by side, stage after stage."""
    stopping: tuple[tuple[str, ...], ...]
    optional: frozenset[str] = frozenset({"alertmanager", "prometheus"})


def make_plan(setting: Setting) -> Plan:
    models, exporters = llm_parts(setting), exporter_parts(setting)
    router = [router_part(setting)]
    alertmanager, prometheus = alertmanager_parts(setting), prometheus_parts(setting)
    stages = [models, exporters, router, alertmanager, prometheus]
    stopping = [router, prometheus, alertmanager, exporters, models]
    return Plan(
        parts=tuple(part for stage in stages for part in stage),
        stages=tuple(tuple(part.name for part in stage) for stage in stages),
        stopping=tuple(tuple(part.name for part in stage) for stage in stopping),
    )


def numbered(name: str, count: int) -> list[str]:
    """`llm`, or `llm-1`, `llm-2`."""
    return [name] if count == 1 else [f"{name}-{at}" for at in range(1, count + 1)]


def module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)


def llm_parts(setting: Setting) -> list[Part]:
    demos = setting.sources.demos
    return [
        Part(
            name=name,
            command=module(
                "dpl_router.stack.demo_model",
                *("--port", str(demo.port), "--weights", str(demo.weights), "--name", NAME),
            ),
            ready=f"http://127.0.0.1:{demo.port}/health",
            shown=warnings,
        )
        for name, demo in zip(numbered("llm", len(demos)), demos, strict=True)
    ]


def exporter_parts(setting: Setting) -> list[Part]:
    exporters = setting.sources.exporters
    keys = ("--keys-file", str(setting.keys_file)) if setting.keys_file else ()
    return [
        Part(
            name=name,
            command=module(
                "dpl_exporter",
                *("--listen", f"127.0.0.1:{exporter.port}", "--llm-url", exporter.llm_url),
                *("--data-dir", str(setting.data_dir / name), *keys),
            ),
            ready=f"http://127.0.0.1:{exporter.port}/-/ready",
        )
        for name, exporter in zip(numbered("exporter", len(exporters)), exporters, strict=True)
    ]


def router_part(setting: Setting) -> Part:
    return Part(
        name="router",
        command=module("dpl_router", "serve", *router_flags(setting)),
        ready=f"http://{setting.addresses.router}/-/ready",
        grace=DRAIN,
    )


def router_flags(setting: Setting) -> Sequence[str]:
    flags = ["--listen", str(setting.listen), "--nodes", str(setting.sources.nodes_file)]
    flags += ["--data-dir", str(setting.data_dir / "router")]
    if setting.programs.prometheus:
        flags += ["--prometheus-url", f"http://{setting.addresses.prometheus}"]
    if setting.programs.alertmanager:
        flags += ["--alertmanager-url", f"http://{setting.addresses.alertmanager}"]
    if setting.keys_file and setting.tokens:
        flags += ["--keys-file", str(setting.keys_file)]
        flags += ["--api-key-file", str(setting.tokens.operator)]
    flags += mail_flags(setting.mail) if setting.mail else []
    if setting.alarm_webhook_file:
        flags += ["--alarm-webhook-file", str(setting.alarm_webhook_file)]
    return [*flags, "--insecure-open"] if setting.insecure_open else flags


def mail_flags(mail: Mail) -> list[str]:
    flags = ["--smtp-server", str(mail.server), "--smtp-from", mail.sender]
    flags += ["--smtp-to", ",".join(mail.to)]
    if mail.user is not None:
        flags += ["--smtp-user", mail.user, "--smtp-password-file", str(mail.password_file)]
    return flags if mail.tls else [*flags, "--smtp-plain"]


def alertmanager_parts(setting: Setting) -> list[Part]:
    program, home = setting.programs.alertmanager, setting.data_dir / "alertmanager"
    if program is None:
        return []
    flags = (
        f"--config.file={home / 'alertmanager.yml'}",
        f"--storage.path={home / 'data'}",
        f"--web.listen-address={setting.addresses.alertmanager}",
        f"--web.external-url=http://{setting.addresses.alertmanager}",  # in mail: it works here
        "--cluster.listen-address=",  # else it opens 9094 on all interfaces
    )
    ready = f"http://{setting.addresses.alertmanager}/-/ready"
    return [Part("alertmanager", (str(program), *flags), ready, shown=warnings)]


def prometheus_parts(setting: Setting) -> list[Part]:
    program, home = setting.programs.prometheus, setting.data_dir / "prometheus"
    if program is None:
        return []
    flags = (
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        "--storage.tsdb.retention.time=30d",
        "--storage.tsdb.retention.size=2GB",
        # What Prometheus tells no more ends after four intervals: the dead man's call in a minute.
        "--rules.alert.resend-delay=10s",
        "--enable-feature=exemplar-storage",  # a dot on the panel of first tokens names its request
        f"--web.listen-address={setting.addresses.prometheus}",
        f"--web.external-url=http://{setting.addresses.prometheus}",
    )
    ready = f"http://{setting.addresses.prometheus}/-/ready"
    return [Part("prometheus", (str(program), *flags), ready, shown=warnings)]
