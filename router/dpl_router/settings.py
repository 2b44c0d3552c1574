"""What one router process is told from outside. Built once by the command line, then frozen."""

from dataclasses import dataclass, field
from pathlib import Path

from dpl_router.errors import ConfigError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. Port 0 lets the system choose."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        return self.host in LOOPBACK or self.host.startswith("127.")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, where: str, example: str = "127.0.0.1:8000") -> Address:
    """`host:port`, `[::1]:port` or `:port`; `where` names the flag in the error, `example` a right
    one.

    Raises: ConfigError.
    """
    host, separator, port = text.strip().rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{where}: {text!r} is no address; write HOST:PORT, as {example}")
    return Address(host, int(port))


def parse_key(text: str, where: str) -> str:
    """A key as it may stand in a header; `where` names its source in the error.

    Raises: ConfigError, which never holds the key.
    """
    if not text or any(not "!" <= sign <= "~" for sign in text):
        raise ConfigError(
            f"{where} must be one key on one line: ASCII letters, digits and signs, no blanks; "
            "`dpl key new NAME` makes one"
        )
    return text


@dataclass(frozen=True, slots=True)
class Mail:
    """How people are written to."""

    server: Address
    """Port 465 speaks TLS from the start, others by STARTTLS."""
    sender: str
    to: tuple[str, ...]
    user: str | None = None
    password_file: Path | None = None
    """Opened at each letter; one line."""
    tls: bool = True
    """False: letters and the password go in clear."""


def mail_settings(
    server: str | None,
    sender: str | None,
    to: str | None,
    user: str | None,
    password_file: Path | None,
    *,
    tls: bool,
) -> Mail | None:
    """None where no server is named. Raises: ConfigError where something is missing or odd."""
    if server is None:
        if any((sender, to, user, password_file)):
            raise ConfigError("mail needs its server: --smtp-server HOST:PORT (DPL_SMTP_SERVER)")
        return None
    address = parse_address(server, "--smtp-server", "mail.example.org:587")
    listed = tuple(one.strip() for one in (to or "").split(",") if one.strip())
    if sender is None or not listed:
        raise ConfigError("--smtp-server needs --smtp-from and --smtp-to: who writes, and to whom")
    for one in (sender.strip(), *listed):
        if "@" not in one or not one.isprintable():
            raise ConfigError(f"{one!r} is no mail address; write NAME@HOST")
    if (user is None) != (password_file is None):
        raise ConfigError("--smtp-user and --smtp-password-file belong together")
    if password_file is not None and not password_file.is_file():
        raise ConfigError(f"--smtp-password-file {password_file} is not there")
    return Mail(
        address,
        sender.strip(),
        listed,
        user,
        password_file.absolute() if password_file else None,
        tls,
    )


@dataclass(frozen=True, slots=True)
class Settings:
    nodes_file: Path
    """nodes.yaml; reloaded within a second of a change."""
    data_dir: Path
    """Where the router keeps what must survive a restart (cordons, audit log). Created."""
    listen: Address = Address("127.0.0.1", 8000)
    keys_file: Path | None = None
    """keys.yaml; None = no keys: every caller is operator, and only loopback is served."""
    api_key: str | None = field(default=None, repr=False)
    """The clear key of role operator that the router shows to exporters."""
    prometheus_url: str | None = None
    """None = there is no Prometheus: the router starts in mode `direct`."""
    alertmanager_url: str | None = None
    insecure_open: bool = False
    """Serve beyond loopback without a keys file: said aloud, never by default."""
    poll_interval: float = 2.0
    """Seconds between two polls of the recorded facts."""
    scrape_interval: float = 5.0
    """Seconds between two scrapes of an exporter by Prometheus: facts older than three are stale.
    In mode `direct` each poll reads the exporters."""
    check_interval: float = 5.0
    """Seconds between the router's own checks of a node, give or take a fifth."""

    alert_repeat: float = 60.0
    """Seconds: `repeat_interval` of the route to our webhook in alertmanager.yml. A cordon by an
    alert lasts three of them."""

    alarm_silence: float = 60.0
    """Seconds without Alertmanager's heartbeat (every 10 s) after which the alarm chain counts as
    broken; a first one is waited for three times as long."""
    alarm_webhook: str | None = field(default=None, repr=False)
    """Where the router tells of that silence by itself. The URL may hold a secret."""
    mail: Mail | None = None
    """Likewise."""

    heartbeat: float = 15.0
    """Seconds without a word after which a stream's head leaves, and a comment each time again."""

    otel_names: bool = False
    """The histograms per model are told under OpenTelemetry's names too."""

    def check(self) -> None:
        """Raises: ConfigError where the settings contradict each other."""
        if not self.listen.loopback and self.keys_file is None and not self.insecure_open:
            raise ConfigError(
                f"--listen {self.listen} is reachable by others and there is no keys file; make "
                "one with `dpl key new NAME --role user --keys-file keys.yaml`, or say "
                "--insecure-open if everybody on that network may use the nodes"
            )
        for flag, url in (
            ("--prometheus-url", self.prometheus_url),
            ("--alertmanager-url", self.alertmanager_url),
        ):
            if url is not None and not url.startswith(("http://", "https://")):
                shown = url.rpartition("@")[2]  # before it may stand a password
                raise ConfigError(f"{flag} {shown!r} is no address; write http://HOST:PORT")
