"""`dpl serve`: the router alone, in the foreground, for units and containers."""

from pathlib import Path
from typing import Any

import rich_click as click

from dpl_router.cli.people import mail_of, telling_people, webhook_in

HERE = "127.0.0.1:8000"
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--listen", envvar="DPL_LISTEN", default=HERE, show_default=True, metavar="HOST:PORT")
@click.option(
    "--nodes",
    "nodes_file",
    envvar="DPL_NODES_FILE",
    type=FILE,
    default="nodes.yaml",
    show_default=True,
    help="The nodes; a change is applied within a second.",
)
@click.option(
    "--keys-file",
    envvar="DPL_KEYS_FILE",
    type=FILE,
    help="Who may do what. Without it only this machine is served.",
)
@click.option(
    "--api-key-file",
    type=FILE,
    help="Holds the operator key that the router shows to exporters (or DPL_API_KEY).",
)
@click.option(
    "--data-dir",
    envvar="DPL_DATA_DIR",
    type=FOLDER,
    help="What must survive a restart. Default: the user's state folder.",
)
@click.option(
    "--prometheus-url",
    envvar=["DPL_PROMETHEUS_URL", "PROMETHEUS_URL"],
    help="Without it the router asks the exporters itself.",
)
@click.option("--alertmanager-url", envvar="DPL_ALERTMANAGER_URL")
@click.option(
    "--alert-repeat",
    envvar="DPL_ALERT_REPEAT",
    type=click.FloatRange(1, 86400),
    default=60.0,
    show_default=True,
    help="Seconds: repeat_interval of Alertmanager's route to this router.",
)
@click.option(
    "--scrape-interval",
    envvar="DPL_SCRAPE_INTERVAL",
    type=click.FloatRange(1, 300),
    default=5.0,
    show_default=True,
    help="Seconds: scrape_interval of the exporters' job in Prometheus.",
)
@click.option(
    "--alarm-silence",
    envvar="DPL_ALARM_SILENCE",
    type=click.FloatRange(1, 86400),
    default=60.0,
    show_default=True,
    help="Seconds without Alertmanager's heartbeat until the router raises the alarm itself.",
)
@click.option(
    "--metrics.otel-names",
    "otel_names",
    envvar="DPL_METRICS_OTEL_NAMES",
    is_flag=True,
    help="/metrics tells its histograms per model under OpenTelemetry's names (gen_ai_…) too.",
)
@telling_people
@click.option(
    "--insecure-open",
    envvar="DPL_INSECURE_OPEN",
    is_flag=True,
    help="Serve a network without keys: everybody on it may do everything.",
)
def serve(
    listen: str,
    nodes_file: Path,
    keys_file: Path | None,
    api_key_file: Path | None,
    data_dir: Path | None,
    prometheus_url: str | None,
    alertmanager_url: str | None,
    alert_repeat: float,
    scrape_interval: float,
    alarm_silence: float,
    otel_names: bool,
    insecure_open: bool,
    **people: Any,
) -> int:
    """Run the router. SIGTERM drains (30 s at most), Ctrl-C ends at once."""
    import os

    import platformdirs

    from dpl_router.server import run
    from dpl_router.settings import Settings, parse_address, parse_key

    shown_key = os.environ.get("DPL_API_KEY") or None
    if api_key_file:
        shown_key = read_key(api_key_file)
    elif shown_key:
        parse_key(shown_key, "DPL_API_KEY")
    settings = Settings(
        nodes_file=nodes_file,
        data_dir=data_dir or platformdirs.user_state_path("dpl"),
        listen=parse_address(listen, "--listen"),
        keys_file=keys_file,
        api_key=shown_key,
        prometheus_url=prometheus_url,
        alertmanager_url=alertmanager_url,
        alert_repeat=alert_repeat,
        scrape_interval=scrape_interval,
        alarm_silence=alarm_silence,
        alarm_webhook=webhook_in(people["alarm_webhook_file"]),
        mail=mail_of(people),
        otel_names=otel_names,
        insecure_open=insecure_open,
    )
    settings.check()
    return run(settings)


def read_key(file: Path) -> str:
    """The file's one line. Raises: ConfigError."""
    from dpl_router.errors import ConfigError
    from dpl_router.settings import parse_key

    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--api-key-file {file} cannot be read: {error}") from error
    return parse_key(key, f"--api-key-file {file}")
