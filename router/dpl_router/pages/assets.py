"""Stylesheet, scripts and icon: few and small, kept in memory, revalidated by their hash."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dpl_router.errors import NotFound

FOLDER = Path(__file__).parent / "static"
TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    content_type: str
    etag: str
    body: bytes

    def is_in(self, if_none_match: str) -> bool:
        """The header names this content (RFC 9110, 13.1.2): weakly, in a list, or by a star."""
        tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return self.etag in tags or tags == ["*"]


class Assets:
    """Only names that lay in the folder at the start: no path ever comes from a request."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._assets = {path.name: _read(path) for path in folder.iterdir() if path.suffix in TYPES}

    def get(self, name: str) -> Asset:
        """Raises: NotFound."""
        if name not in self._assets:
            raise NotFound("there is no such file")
        return self._assets[name]


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    return Asset(TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:16]}"', body)
