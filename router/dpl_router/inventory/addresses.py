"""Where a node may be. Addresses come from nodes.yaml only; some are refused even there."""

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

ENDPOINTS = re.compile(
    r"(/v1(/(chat/completions|completions|models|embeddings))?|/api/(chat|generate|tags))$"
)
EXPORTER_ENDPOINTS = re.compile(r"/(metrics|status|lock|unlock)$")
NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
EXAMPLE = "http://10.0.0.5:11434"
METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data"})
METADATA_ADDRESSES = frozenset({"169.254.169.254", "100.100.100.200", "fd00:ec2::254"})


class BadAddress(ValueError):
    """`hint` says what to write instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Base:
    """An http(s) base without a slash at its end; `cut` is the endpoint that was taken off."""

    url: str
    host: str
    """Without brackets, in small letters."""
    cut: str = ""

    @property
    def guarded(self) -> bool:
        """Link-local, or where clouds hand out credentials."""
        if self.host.rstrip(".") in METADATA_NAMES:
            return True
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped if mapped is not None else address
        return address.is_link_local or str(address).partition("%")[0] in METADATA_ADDRESSES


def base_url(text: str, endpoints: re.Pattern[str], example: str = EXAMPLE) -> Base:
    """`example` of what is meant stands in hints.

    Raises: BadAddress. The message never repeats a password.
    """
    parts = _split(text, example)
    host = _host(parts, example)
    path = parts.path.rstrip("/")
    short = endpoints.sub("", path).rstrip("/")
    like = f"write it like :{example.rpartition(':')[2]}"
    try:
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        raise BadAddress("the port is no number up to 65535", like) from None
    if port == ":0":
        raise BadAddress("port 0 is no port to call", like)
    shown = f"[{host}]" if ":" in host else host
    return Base(f"{parts.scheme}://{shown}{port}{short}", host, path[len(short) :])


def _split(text: str, example: str) -> SplitResult:
    if re.search(r"[^\x21-\x7e]", text) or "\\" in text:
        raise BadAddress(
            "holds a blank or a letter that no url has", "write a foreign name as xn--..."
        )
    try:
        parts = urlsplit(text)
    except ValueError:
        raise BadAddress("is no url", f"write it like {example}") from None
    if parts.scheme not in {"http", "https"} or not text.lower().startswith(f"{parts.scheme}://"):
        raise BadAddress("is no http or https url", f"write it like {example}")
    if "@" in parts.netloc:
        raise BadAddress(
            "holds a user name or password", 'take it out; a key goes into "api_key", as ${ENV}'
        )
    if "?" in text or "#" in text:
        raise BadAddress("holds a query or a fragment", "write the base only")
    return parts


def _host(parts: SplitResult, example: str) -> str:
    host = parts.hostname or ""
    if ":" in host:
        address = _address(host)
        if address is None:
            raise BadAddress(
                "the address in brackets is no IPv6 address", "write it like [fd00::5]"
            )
        if address.is_unspecified:
            raise BadAddress("means every address, not a machine", "write [::1] for this one")
        return str(address)
    if not NAME.fullmatch(host):
        raise BadAddress("has no proper host", f"write it like {example}")
    address = _address(host)
    if address is None:
        _refuse_disguise(host)
    elif address.is_unspecified:
        raise BadAddress("means every address, not a machine", "write 127.0.0.1 for this one")
    return host


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _refuse_disguise(host: str) -> None:
    """`2852039166` and `0xA9.254.1` are addresses to a resolver, but not to a reader."""
    try:
        address = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return
    raise BadAddress("is an unusual spelling of an address", f"write {address}")
