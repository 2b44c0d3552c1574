"""What people write for addresses, as what we use. Readers raise ValueError with a reason."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

OLLAMA_PORT = 11434
_CUT = ("/v1/chat/completions", "/api/generate", "/api/chat", "/api", "/v1")
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 = any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_address(text: str) -> Address:
    """`host:port`, `[ipv6]:port`."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.path or parts.query or parts.username is not None:
        raise ValueError("is not an address like 127.0.0.1:8001")
    return Address(host, port)


def read_port(text: str) -> Address:
    """A port alone is served on loopback."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ValueError("is not a port from 0 to 65535")
    return Address("127.0.0.1", int(text))


def read_llm_url(text: str) -> str:
    """The base of the LLM server, without a slash at the end.

    Ollama's spellings of OLLAMA_HOST are understood: no scheme, no port (11434; 80 or 443 where
    a scheme stands), no host, and 0.0.0.0, which is an address to listen on, not to call.
    """
    has_scheme = "://" in text
    try:
        parts = urlsplit(text if has_scheme else f"http://{text}")
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise ValueError("is not a URL like http://127.0.0.1:11434") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("must begin with http:// or https://")
    if parts.username is not None or parts.query or parts.fragment or " " in text:
        raise ValueError("must be a plain base URL, without user, query or fragment")
    host = _ANY.get(host, host)
    shown = f"[{host}]" if ":" in host else host
    if port is None and not has_scheme:
        port = OLLAMA_PORT
    path = parts.path.rstrip("/")
    for tail in _CUT:
        path = path.removesuffix(tail)
    return f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}{path}"


def is_loopback(host: str) -> bool:
    """True for names and addresses that only this machine can reach."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str:
    """The host in a Host header, the port ignored; empty where it is not one."""
    try:
        return read_host(header)
    except ValueError:
        return ""


def read_host(header: str) -> str:
    parts = urlsplit(f"//{header}")
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("is not a host")
    _ = parts.port  # raises where it is no number
    return parts.hostname or ""
