"""Where a node answers: the base url of nodes.yaml, taken apart once."""

from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host, port and base path of a node; `base` is empty or begins with /."""

    scheme: str
    host: str
    port: int
    base: str = ""

    @classmethod
    def parse(cls, url: str) -> "Origin":
        """Raises: ValueError that names the mistake, for whoever wrote the url."""
        url = url.strip()
        if not url.isprintable() or not url.isascii() or " " in url:
            raise ValueError(f"a url holds printable ASCII without spaces, not {url!r}")
        parts = urlsplit(url)
        if parts.scheme not in DEFAULT_PORTS:
            raise ValueError(f"a node's url begins with http:// or https://, not {url!r}")
        if not parts.hostname:
            raise ValueError(f"no host in {url!r}")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a node's url holds no user and no password")
        if parts.query or parts.fragment:
            raise ValueError(f"a node's url ends with its path: {url!r}")
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The Host header: the node's own address, never the client's.

        A loopback-bound Ollama answers 403 to any other.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"
