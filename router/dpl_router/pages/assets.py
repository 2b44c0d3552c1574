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


class Assets:
    """Only names that lay in the folder at the start: no path ever comes from a request."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._assets = {path.name: _read(path) for path in folder.iterdir() if path.suffix in TYPES}

    def get(self, name: str) -> Asset:
        """Raises: NotFound."""
        if name not in self._assets:
            raise NotFound("there is no such file")
        return self._assets[name]

    @property
    def weight(self) -> int:
        """Bytes of all files together."""
        return sum(len(asset.body) for asset in self._assets.values())


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    return Asset(TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:16]}"', body)
