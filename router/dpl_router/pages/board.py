"""The pages as pieces of HTML with ids, rendered once a second for all who look."""

import time
from collections.abc import Iterator, Mapping
from typing import Literal, cast, get_args

from jinja2 import Environment
from markupsafe import Markup

from dpl_router.pages.scene import NodeRow, Scene, Scenery

Page = Literal["overview", "chat", "schema", "request"]

KEEP_SECONDS = 1.0
NODES = "nodes"
PIECES: Mapping[Page, tuple[str, ...]] = {
    "overview": ("headline", "banners", "alerts", "status"),
    "chat": ("banners", "models", "status"),
    "schema": ("banners", "status"),
    "request": ("banners", "status"),
}


def page_of(name: str) -> Page:
    """The overview for any name that is none."""
    return cast(Page, name) if name in get_args(Page) else "overview"


class Board:
    """`page` is the whole document, `since` what has changed in it, by element id."""

    def __init__(self, scenery: Scenery, engine: Environment) -> None:
        self._scenery = scenery
        self._engine = engine
        self._templates = {
            name: engine.get_template(f"_{name}.html")
            for name in {name for names in PIECES.values() for name in names} | {"node"}
        }
        self._rendered_at: float | None = None
        self._html: dict[str, str] = {}
        self._changed: dict[str, int] = {}
        self._order: tuple[str, ...] = ()
        self.version = 0
        """Counts the renderings that brought something new."""

    def page(self, page: Page, **said: object) -> str:
        """`said`: what its template knows beyond the pieces."""
        self._refresh()
        # Made by these templates, in which everything foreign was escaped.
        pieces = {name: Markup(html) for name, html in self._html.items()}
        return self._engine.get_template(f"{page}.html").render(
            page=page, pieces=pieces, rows=Markup(self._all_rows()), now=time.time(), **said
        )

    def since(self, page: Page, seen: int) -> dict[str, str]:
        """Element id -> its new HTML, for what changed after version `seen`; 0 = everything."""
        self._refresh()
        wanted = list(PIECES[page])
        if page == "overview":
            whole = self._changed[NODES] > seen
            wanted += () if whole else self._order
        else:
            whole = False
        changed = {name: self._html[name] for name in wanted if self._changed[name] > seen}
        if whole:
            changed[NODES] = self._all_rows()
        return changed

    def _all_rows(self) -> str:
        return "".join(self._html[row] for row in self._order)

    def _refresh(self) -> None:
        now = time.monotonic()
        if self._rendered_at is not None and now - self._rendered_at < KEEP_SECONDS:
            return
        scene = self._scenery.now()
        order = tuple(_id_of(row) for row in scene.rows)
        fresh = dict(self._render(scene))
        new = {name for name, html in fresh.items() if self._html.get(name) != html}
        if order != self._order:
            new.add(NODES)
        if new:
            self.version += 1
        self._changed.update(dict.fromkeys(new, self.version))
        self._html, self._order, self._rendered_at = fresh, order, now

    def _render(self, scene: Scene) -> Iterator[tuple[str, str]]:
        for name, template in self._templates.items():
            if name != "node":
                yield name, template.render(scene=scene)
        for row in scene.rows:
            yield _id_of(row), self._templates["node"].render(row=row, node=row.status)


def _id_of(row: NodeRow) -> str:
    return f"node-{row.status.name}"
