"""The settings: a flag beats a variable, that beats `.env` in the working folder, that a default.

Every mistake is one SettingsError: what is wrong, where it was set, what to write instead.
"""

import argparse
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from platformdirs import user_state_dir

from dpl_exporter.addresses import Address, is_loopback, read_address, read_llm_url, read_port
from dpl_exporter.errors import SettingsError
from dpl_exporter.readers import (
    LLM_KINDS,
    read_compat,
    read_file,
    read_kind,
    read_paths,
    read_pattern,
    read_slots,
    read_switch,
)

IGNORED_DEVICES = (
    r"lo\d*|veth.*|docker.*|br-.*|virbr.*|vnet.*|cni.*|cali.*|cilium.*|flannel.*|lxc.*|tap.*"
    r"|ifb.*|dummy.*|tun\d*|tailscale.*|utun.*|awdl.*|llw.*|anpi.*|ap\d|bridge.*|gif.*|stf.*"
    r"|Loopback.*"
)


@dataclass(frozen=True, slots=True)
class Settings:
    """One running exporter."""

    listen: Address
    llm_url: str
    """Base of the LLM server, without a slash at the end."""
    llm_kind: str | None
    """None = find out."""
    model: str | None
    """The model that /status names where the server has it."""
    slots: int | None
    """Requests the node should run at once; None = as the LLM server says."""
    data_dir: Path
    """Holds the fencing token's mark; created."""
    keys_file: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    filesystems: tuple[Path, ...]
    """Watched beside the root and the model store."""
    network_ignore: re.Pattern[str]
    """Network devices whose whole name matches are left out."""
    insecure_open: bool
    """Serve beyond loopback without keys."""
    protect_reads: bool
    """Reads need a viewer key too."""
    gpu_pcie_throughput: bool
    """Measure the traffic of NVIDIA cards: 40 ms a card on each page."""
    gpu_powermetrics: bool
    """On a Mac, as root: energy and power of the GPU."""
    compat: str | None
    """What to tell a second time, in the words of another program: node_exporter or nothing."""
    collectors: frozenset[str]
    """Names of the enabled ones."""
    environment: Mapping[str, str]
    """`.env` and the process environment together: some collectors look for the model store."""
    sources: Mapping[str, str]
    """For --check: setting -> where its value came from."""


@dataclass(frozen=True, slots=True)
class _Option:
    flag: str
    variables: tuple[tuple[str, Callable[[str], object]], ...]
    """In order of precedence, each with its own way to read the text."""
    default: object
    help: str
    is_switch: bool = False

    @property
    def name(self) -> str:
        return self.flag.removeprefix("--").replace("-", "_")


def load(
    arguments: Sequence[str], environ: Mapping[str, str], collectors: Iterable[str]
) -> tuple[Settings, argparse.Namespace]:
    """The settings and the parsed command line (for --check). Raises: SettingsError."""
    names = tuple(collectors)
    environment = {**read_dotenv(Path(".env")), **environ}
    options = _options()
    given = _parser(options, names).parse_args(arguments)
    values: dict[str, object] = {}
    sources: dict[str, str] = {}
    for option in options:
        values[option.name], sources[option.name] = _value(option, given, environment)
    values["collectors"] = _enabled(names, given, environment)
    settings = Settings(**values, environment=environment, sources=sources)  # type: ignore[arg-type]
    _check_together(settings)
    return settings, given


def read_dotenv(file: Path) -> dict[str, str]:
    """NAME=value lines; quotes and a leading `export` are taken off, other lines are not ours."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f".env cannot be read: {error}. Mend or remove it.") from None
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*", line)
        if match:
            name, value = match.groups()
            quoted = re.fullmatch(r"""(['"])(.*)\1(?:\s+#.*)?""", value)
            found[name] = quoted[2] if quoted else re.sub(r"(^|\s+)#.*", "", value)
    return found


def _options() -> tuple[_Option, ...]:
    home = Path(user_state_dir("dpl-exporter", appauthor=False))
    return (
        _Option(
            "--listen",
            (("DPL_LISTEN", read_address), ("PORT", read_port)),
            Address("127.0.0.1", 8001),
            "address to serve, 127.0.0.1:8001; port 0 takes a free one",
        ),
        _Option(
            "--llm-url",
            (("DPL_LLM_URL", read_llm_url), ("OLLAMA_HOST", read_llm_url)),
            "http://127.0.0.1:11434",
            "base URL of the LLM server, http://127.0.0.1:11434",
        ),
        _Option(
            "--llm-kind",
            (("DPL_LLM_KIND", read_kind),),
            None,
            "kind of that server: " + ", ".join(LLM_KINDS),
        ),
        _Option("--model", (("OLLAMA_MODEL", str),), None, "preferred model, for /status"),
        _Option(
            "--slots",
            (("DPL_SLOTS", read_slots),),
            None,
            "requests that the node should run at once, or auto",
        ),
        _Option("--data-dir", (("DPL_DATA_DIR", Path),), home, f"state is kept here, {home}"),
        _Option(
            "--keys-file",
            (("DPL_KEYS_FILE", read_file),),
            None,
            "keys.yaml: /lock and /unlock need a key of role operator",
        ),
        _Option("--tls-cert", (("DPL_TLS_CERT", read_file),), None, "certificate chain, PEM"),
        _Option("--tls-key", (("DPL_TLS_KEY", read_file),), None, "its private key, PEM"),
        _Option(
            "--filesystems",
            (("DPL_FILESYSTEMS", read_paths),),
            (),
            f"more paths whose filesystems are watched, separated by {os.pathsep}",
        ),
        _Option(
            "--network-ignore",
            (("DPL_NETWORK_IGNORE", read_pattern),),
            re.compile(IGNORED_DEVICES),
            "regular expression of network devices to leave out",
        ),
        _Option(
            "--insecure-open",
            (("DPL_INSECURE_OPEN", read_switch),),
            False,
            "serve beyond loopback without a keys file",
            is_switch=True,
        ),
        _Option(
            "--protect-reads",
            (("DPL_PROTECT_READS", read_switch),),
            False,
            "reads need a key of role viewer too",
            is_switch=True,
        ),
        _Option(
            "--gpu-pcie-throughput",
            (("DPL_GPU_PCIE_THROUGHPUT", read_switch),),
            False,
            "measure the PCIe traffic of NVIDIA cards, which takes 40 ms a card",
            is_switch=True,
        ),
        _Option(
            "--gpu-powermetrics",
            (("DPL_GPU_POWERMETRICS", read_switch),),
            False,
            "energy and power of a Mac's GPU, from powermetrics; needs root",
            is_switch=True,
        ),
        _Option(
            "--compat",
            (("DPL_COMPAT", read_compat),),
            None,
            "tell of the machine in the words of node_exporter as well; not where it runs, too",
        ),
    )


class _Parser(argparse.ArgumentParser):
    """argparse that raises instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message}. `dpl-exporter --help` lists every flag.")


def _parser(options: Iterable[_Option], collectors: Iterable[str]) -> _Parser:
    parser = _Parser(
        prog="dpl-exporter",
        description="Measures this machine and its LLM server, and holds the node's lease.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    parser.add_argument("--check", action="store_true", help="print the effective settings")
    for option in options:
        variables = ", ".join(name for name, _ in option.variables)
        text = f"{option.help} ({variables})"
        if option.is_switch:
            parser.add_argument(option.flag, action="store_const", const="1", help=text)
        else:
            parser.add_argument(option.flag, metavar="X", help=text)
    for name in collectors:
        parser.add_argument(
            f"--collector.{name}",
            action=argparse.BooleanOptionalAction,
            help=f"the metrics of {name} (DPL_COLLECTOR_{name.upper()}=0|1)",
        )
    return parser


def _value(
    option: _Option, given: argparse.Namespace, environment: Mapping[str, str]
) -> tuple[object, str]:
    flag = getattr(given, option.name)
    if flag is not None:
        return _read(option.variables[0][1], flag, option.flag), "flag"
    for variable, read in option.variables:
        text = environment.get(variable, "").strip()
        if text:
            return _read(read, text, variable), variable
    return option.default, "default"


def _read(read: Callable[[str], object], text: str, where: str) -> object:
    try:
        return read(text)
    except ValueError as error:
        raise SettingsError(f"{where}: {text[:200]!r} {error}") from None


def _enabled(
    names: Iterable[str], given: argparse.Namespace, environment: Mapping[str, str]
) -> frozenset[str]:
    on = set()
    for name in names:
        variable = f"DPL_COLLECTOR_{name.upper()}"
        wanted = getattr(given, f"collector.{name}")
        text = environment.get(variable, "").strip()
        if wanted is None and text:
            wanted = _read(read_switch, text, variable)
        if wanted is not False:
            on.add(name)
    return frozenset(on)


def _check_together(settings: Settings) -> None:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingsError("--tls-cert and --tls-key belong together: give both or neither.")
    open_to_all = settings.keys_file is None and not is_loopback(settings.listen.host)
    if open_to_all and not settings.insecure_open:
        raise SettingsError(
            f"--listen {settings.listen} can be reached from other machines and no keys file is "
            "set: give --keys-file, listen on 127.0.0.1, or say --insecure-open."
        )
    if settings.protect_reads and settings.keys_file is None:
        raise SettingsError("--protect-reads needs keys: give --keys-file as well.")
