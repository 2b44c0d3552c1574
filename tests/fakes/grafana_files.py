"""What Grafana makes of its provisioning folder and its dashboards, and what it refuses.

As in Grafana 12 (pkg/services/provisioning): variables in values, one default data source,
providers of type `file`, folders, unique uids. Refused here, where Grafana only logs: a folder of
dashboards that is not there, a kind of data source that it does not bring, one uid come twice.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
KINDS = frozenset({"alertmanager", "prometheus"})
"""The data sources that Grafana brings, as far as DPL could want them."""


class Refused(Exception):
    """Grafana ends, or goes on without; the file and why."""


@dataclass(frozen=True, slots=True)
class Source:
    """A data source as its API tells it."""

    name: str
    uid: str
    kind: str
    url: str
    default: bool
    settings: Any


@dataclass(frozen=True, slots=True)
class Board:
    uid: str
    title: str
    folder: str
    document: Any


def sources(folder: Path, environment: Mapping[str, str]) -> list[Source]:
    """Of provisioning/datasources. Raises: Refused."""
    found = [
        source(path, entry, environment)
        for path, document in documents(folder / "datasources")
        for entry in document.get("datasources") or ()
    ]
    refuse_twice(found, "data sources", lambda each: each.name, lambda each: each.uid)
    if sum(each.default for each in found) > 1:
        raise Refused("only one data source may be marked as default")
    return found


def source(path: Path, entry: Any, environment: Mapping[str, str]) -> Source:
    entry = expanded(entry, environment)
    for field in ("name", "type", "url"):
        if not isinstance(entry.get(field), str) or not entry[field]:
            raise Refused(f"{path}: a data source without {field}")
    if entry["type"] not in KINDS:
        raise Refused(f"{path}: there is no plugin {entry['type']!r}")
    if entry.get("access", "proxy") not in {"proxy", "direct"}:
        raise Refused(f"{path}: access is proxy or direct")
    if not UID.fullmatch(str(entry.get("uid", ""))):
        raise Refused(f"{path}: a uid has 1 to 40 letters, digits, - and _")
    if not entry["url"].startswith(("http://", "https://")):
        raise Refused(f"{path}: {entry['url']!r} is no address")
    default = bool(entry.get("isDefault"))
    settings = entry.get("jsonData") or {}
    return Source(entry["name"], entry["uid"], entry["type"], entry["url"], default, settings)


def boards(folder: Path, environment: Mapping[str, str]) -> list[Board]:
    """Of every provider in provisioning/dashboards. Raises: Refused."""
    providers = [
        (path, expanded(entry, environment))
        for path, document in documents(folder / "dashboards")
        for entry in document.get("providers") or ()
    ]
    refuse_twice(providers, "providers", lambda each: each[1].get("name"))
    found = [board for path, entry in providers for board in provided(path, entry)]
    refuse_twice(found, "dashboards", lambda board: board.uid)
    refuse_twice(found, "dashboards of a folder", lambda board: (board.folder, board.title))
    return found


def provided(path: Path, entry: Any) -> Iterator[Board]:
    if entry.get("type", "file") != "file":
        raise Refused(f"{path}: type {entry['type']!r} is not supported")
    where = (entry.get("options") or {}).get("path")
    if not isinstance(where, str):
        raise Refused(f"{path}: failed to load dashboards, path param is not a string")
    if entry["options"].get("foldersFromFilesStructure") and entry.get("folder"):
        raise Refused(f"{path}: folder must be empty with foldersFromFilesStructure")
    if not Path(where).is_dir():
        raise Refused(f"{path}: cannot read the directory {where}")
    for file in sorted(Path(where).rglob("*.json")):
        yield board(file, entry.get("folder", ""))


def board(file: Path, folder: str) -> Board:
    """Raises: Refused."""
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise Refused(f"{file}: {error}") from error
    if not document.get("title") or document["title"] == folder:
        raise Refused(f"{file}: a dashboard needs a title, and not its folder's")
    if not UID.fullmatch(document.get("uid") or ""):
        raise Refused(f"{file}: a uid has 1 to 40 letters, digits, - and _")
    return Board(document["uid"], document["title"], folder, document)


def documents(folder: Path) -> Iterator[tuple[Path, Any]]:
    """Raises: Refused."""
    if not folder.is_dir():
        raise Refused(f"{folder} is not there")
    for path in sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")]):
        try:
            document = yaml.safe_load(path.read_bytes())
        except (OSError, yaml.YAMLError) as error:
            raise Refused(f"{path}: {error}") from error
        if not isinstance(document, dict) or document.get("apiVersion") != 1:
            raise Refused(f"{path}: apiVersion must be 1")
        yield path, document


def expanded(value: Any, environment: Mapping[str, str]) -> Any:
    """$NAME and ${NAME} in every text; $$ is a dollar. An unset one is empty, as Grafana has it."""
    if isinstance(value, dict):
        return {key: expanded(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [expanded(each, environment) for each in value]
    if not isinstance(value, str):
        return value

    def known(found: re.Match[str]) -> str:
        return environment.get(found[1] or found[2], "")

    return "$".join(VARIABLE.sub(known, part) for part in value.split("$$"))


def refuse_twice(found: list[Any], what: str, *marks: Callable[[Any], object]) -> None:
    for mark in marks:
        twice = [key for key, times in Counter(map(mark, found)).items() if times > 1]
        if twice:
            raise Refused(f"{what}: {twice} more than once")


def setting(name: str, environment: Mapping[str, str] = os.environ, default: str = "") -> str:
    """GF_…, or what stands in the file that GF_…__FILE names. Raises: Refused."""
    file = environment.get(f"{name}__FILE")
    if file is None:
        return environment.get(name, default)
    if name in environment:
        raise Refused(f"both {name} and {name}__FILE are set (but are exclusive)")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Refused(f"{name}__FILE: {error}") from error
