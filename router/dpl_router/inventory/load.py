"""nodes.yaml -> Inventory, or every mistake in it at once (api.md section 7)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from dpl_router.inventory.addresses import (
    ENDPOINTS,
    EXPORTER_ENDPOINTS,
    BadAddress,
    Base,
    base_url,
)
from dpl_router.inventory.aliases import checked, untagged
from dpl_router.inventory.document import Document, Place, read, spelled
from dpl_router.inventory.files import NamedFiles
from dpl_router.inventory.mistakes import InventoryError
from dpl_router.inventory.pages import ENGINE, engine_of, page
from dpl_router.inventory.schema import LATER, SPELLINGS, json_schema
from dpl_router.inventory.tls import authority, own
from dpl_router.inventory.types import Inventory, Node, RouterOptions, Timeouts, Tls
from dpl_router.inventory.validate import Words, validate
from dpl_router.inventory.values import (
    BadValue,
    first_digits,
    referenced,
    seconds,
    secret,
)

EXPORTER_PORT = 8001
LONGEST_LEASE = 300.0

Fields = Mapping[str, Any]
T = TypeVar("T")


def load(path: Path, environ: Mapping[str, str], api_key: str | None = None) -> Inventory:
    """`environ` answers `${ENV}`; `api_key` is what exporters are shown where a node says nothing.

    Raises: InventoryError with every mistake of the file.
    """
    document, files = read(path), NamedFiles(path.parent)
    if not document.mistakes or document.value is not None:
        fields = validate(document, json_schema(), Words(LATER, SPELLINGS))
        inventory = _Reader(document, files, environ, api_key).inventory(fields)
        if not document.mistakes:
            return inventory
    raise InventoryError(document.mistakes, files.named)


class _Reader:
    """Right by the schema is not yet right: this resolves, and notes what does not resolve.

    Required fields may be missing (they are noted already): the result then is of no use.
    """

    def __init__(
        self,
        document: Document,
        files: NamedFiles,
        environ: Mapping[str, str],
        api_key: str | None,
    ) -> None:
        self._document = document
        self._files = files
        self._environ = environ
        self._api_key = api_key
        self._notes: list[str] = []

    def inventory(self, fields: object) -> Inventory:
        top = _mapping(fields)
        router = self._router(_mapping(top.get("router")))
        slots = _slots(_mapping(top.get("defaults")).get("slots"))
        nodes = []
        for index, entry in enumerate(top.get("nodes") or ()):
            place: Place = ("nodes", index)
            defaults = Node(name="", url="", slots=slots, timeouts=router.timeouts)
            nodes.append(self._node(place, _mapping(entry), defaults))
        self._twice(nodes)
        weights = {
            untagged(model): first_digits(digest)
            for model, digest in _mapping(top.get("weights")).items()
        }
        return Inventory(tuple(nodes), router, weights, tuple(self._notes))

    def _router(self, fields: Fields) -> RouterOptions:
        options = RouterOptions()
        place: Place = ("router",)
        drain, lease = (*place, "drain"), (*place, "lease_ttl")
        options = replace(
            options,
            timeouts=self._timeouts((*place, "timeouts"), fields.get("timeouts"), Timeouts()),
            drain=self._seconds(drain, fields.get("drain"), options.drain),
            lease_ttl=self._seconds(lease, fields.get("lease_ttl"), options.lease_ttl),
            allowed_hosts=tuple(fields.get("allowed_hosts") or ()),
            contexts=dict(fields.get("contexts") or {}),
            auto_pull=bool(fields.get("auto_pull", False)),
        )
        if not 1.0 <= options.lease_ttl <= LONGEST_LEASE:
            self._document.wrong(lease, "is no usable time for a lease", "write 1s to 300s")
        return options

    def _node(self, place: Place, fields: Fields, defaults: Node) -> Node:
        self._files.found = {}
        url = self._url((*place, "url"), fields, ENDPOINTS)
        exporter = self._exporter(place, fields, url)
        shown_key = self._secret((*place, "exporter_key"), fields) or self._api_key
        return replace(
            defaults,
            name=str(fields.get("name", "")),
            url=url.url if url else "",
            kind=str(fields.get("kind", "auto")),
            exporter=exporter,
            exporter_key=shown_key if exporter else None,
            exporter_ca=self._exporter_ca((*place, "exporter_tls"), fields),
            metrics=self._pages((*place, "metrics"), fields),
            slots=_slots(fields["slots"]) if "slots" in fields else defaults.slots,
            models=tuple(fields.get("models") or ()),
            aliases=checked(self._document, (*place, "aliases"), fields.get("aliases") or {}),
            remote_models=bool(fields.get("remote_models", False)),
            labels=dict(fields.get("labels") or {}),
            cordoned=bool(fields.get("cordoned", False)),
            api_key=self._secret((*place, "api_key"), fields),
            tls=self._tls((*place, "tls"), _mapping(fields.get("tls")), url),
            timeouts=self._timeouts(
                (*place, "timeouts"), fields.get("timeouts"), defaults.timeouts
            ),
            files=self._files.found,
        )

    def _url(self, place: Place, fields: Fields, endpoints: Any) -> Base | None:
        text = fields.get(str(place[-1]))
        if not isinstance(text, str):
            return None
        base = self._base(place, fields, lambda: base_url(text, endpoints))
        if base is not None and base.cut:
            self._note(place, f'"{base.cut}" is cut off: the base is {base.url}')
        return base

    def _base(self, place: Place, node: Fields, resolve: Callable[[], Base]) -> Base | None:
        """An address of this node; None where it is none."""
        try:
            base = resolve()
        except BadAddress as error:
            self._document.wrong(place, str(error), error.hint)
            return None
        if base.guarded and not node.get("allow_link_local"):
            self._document.wrong(
                place,
                "is a link-local or metadata address",
                "if a machine of yours really is there: allow_link_local: true",
            )
        return base

    def _pages(self, place: Place, node: Fields) -> dict[str, str]:
        pages: dict[str, str] = {}
        for name, text in _mapping(node.get("metrics")).items():

            def resolve(name: str = name, text: str = text) -> Base:
                if name == ENGINE:
                    engine_of(str(node.get("kind", "auto")))
                return page(name, text)

            base = self._base((*place, name), node, resolve)
            if base is not None:
                pages[name] = base.url
        return pages

    def _exporter(self, place: Place, fields: Fields, url: Base | None) -> str | None:
        if fields.get("exporter") == "none":
            return None
        if "exporter" in fields:
            base = self._url((*place, "exporter"), fields, EXPORTER_ENDPOINTS)
            return base.url if base else None
        if url is None:
            return None
        host = f"[{url.host}]" if ":" in url.host else url.host
        return f"http://{host}:{EXPORTER_PORT}"

    def _secret(self, place: Place, fields: Fields) -> str | None:
        reference = fields.get(str(place[-1]))
        if not isinstance(reference, str):
            return None
        return self._tried(place, lambda: secret(reference, self._environ, self._files.find), None)

    def _exporter_ca(self, place: Place, fields: Fields) -> Path | None:
        reference = fields.get(str(place[-1]))
        if not isinstance(reference, str):
            return None

        def resolve() -> Path:
            named = referenced(reference, self._environ)
            file = self._files.find((named or reference).removeprefix("file:"))
            return authority(file)

        return self._tried(place, resolve, None)

    def _tls(self, place: Place, fields: Fields, url: Base | None) -> Tls:
        files: dict[str, Path | None] = {}
        for name in ("ca", "cert", "key"):
            if name in fields:
                text = str(fields[name]).removeprefix("file:")
                files[name] = self._file((*place, name), text)
        ca, cert, key = (files.get(name) for name in ("ca", "cert", "key"))
        if ca is not None:
            files["ca"] = self._tried((*place, "ca"), lambda: authority(ca), None)
        if ("cert" in fields) != ("key" in fields):
            self._document.wrong(place, "cert and key belong together", "write both or neither")
        elif cert is not None and key is not None:
            self._tried((*place, "cert"), lambda: own(cert, key), None)
        if fields and url is not None and url.url.startswith("http:"):
            self._note(place, "has no effect: the url is not https")
        return Tls(verify=bool(fields.get("verify", True)), **files)

    def _file(self, place: Place, text: str) -> Path | None:
        return self._tried(place, lambda: self._files.find(text), None)

    def _timeouts(self, place: Place, fields: object, defaults: Timeouts) -> Timeouts:
        given = {
            name: self._seconds((*place, name), value, getattr(defaults, name))
            for name, value in _mapping(fields).items()
        }
        return replace(defaults, **given)

    def _seconds(self, place: Place, value: float | str | None, default: float) -> float:
        if value is None:
            return default
        return self._tried(place, lambda: seconds(value), default)

    def _tried(self, place: Place, resolve: Callable[[], T], otherwise: T) -> T:
        try:
            return resolve()
        except BadValue as error:
            self._document.wrong(place, str(error), error.hint)
            return otherwise

    def _twice(self, nodes: list[Node]) -> None:
        names: dict[str, int] = {}
        urls: dict[str, str] = {}
        exporters: dict[str, str] = {}
        pages: dict[str, str] = {}
        for index, node in enumerate(nodes):
            place: Place = ("nodes", index)
            if node.name and node.name in names:
                first = spelled(("nodes", names[node.name]))
                self._document.wrong(
                    (*place, "name"),
                    f"the name {node.name!r} is taken by {first}",
                    "give every node its own",
                )
            elif node.url and node.url in urls:
                self._note((*place, "url"), f"is also the url of {urls[node.url]}: counted twice")
            elif node.exporter in exporters:
                self._shared_exporter(place, node, exporters[node.exporter])
            for name, url in node.metrics.items():
                if pages.setdefault(url, node.name) != node.name:
                    told = f"is also a page of {pages[url]}: what it tells is taken for both"
                    self._note((*place, "metrics", name), told)
            names.setdefault(node.name, index)
            urls.setdefault(node.url, node.name)
            if node.exporter is not None:
                exporters.setdefault(node.exporter, node.name)

    def _shared_exporter(self, place: Place, node: Node, other: str) -> None:
        named = (*place, "exporter")
        told = "what it tells is taken for both; name each its own, or none"
        if named in self._document.values:
            self._note(named, f"is also the exporter of {other}: {told}")
        else:
            self._note(
                place, f"its exporter, {node.exporter}, is also the exporter of {other}: {told}"
            )

    def _note(self, place: Place, text: str) -> None:
        line, column = self._document.values.get(place, (1, 1))
        self._notes.append(f"{self._document.file}:{line}:{column} {spelled(place)} {text}")


def _mapping(value: object) -> Fields:
    return value if isinstance(value, Mapping) else {}


def _slots(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None
