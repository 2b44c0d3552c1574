"""The pages as pieces of HTML with ids, once a second for all; of the rows, what changed."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal, cast, get_args

import msgspec
from jinja2 import Environment
from markupsafe import Markup

from dpl_router.pages.scene import NodeRow, Scene, Scenery
from dpl_router.pages.slices import sliced

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
        self._rows: dict[str, NodeRow] = {}
        """By id, as they were rendered last."""
        self._html: dict[str, str] = {}
        self._changed: dict[str, int] = {NODES: 0}
        self._order: tuple[str, ...] = ()
        self._turn = asyncio.Lock()
        self.version = 0
        """Counts the renderings that brought something new."""

    async def page(self, page: Page, **said: object) -> str:
        """`said`: what its template knows beyond the pieces."""
        await self._refresh()
        # Made by these templates, in which everything foreign was escaped.
        pieces = {name: Markup(html) for name, html in self._html.items()}
        return self._engine.get_template(f"{page}.html").render(
            page=page, pieces=pieces, rows=Markup(self._all_rows()), now=time.time(), **said
        )

    async def since(self, page: Page, seen: int) -> dict[str, str]:
        """Element id -> its new HTML, for what changed after version `seen`; 0 = everything."""
        await self._refresh()
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

    async def _refresh(self) -> None:
        """Once for all who ask; what was rendered last stays whole until all of it is there."""
        async with self._turn:
            now = time.monotonic()
            if self._rendered_at is not None and now - self._rendered_at < KEEP_SECONDS:
                return
            scene = await self._scenery.now()
            rows = {_id_of(row): _unaged(row) for row in scene.rows}
            html = dict(await sliced(self._render(scene, rows)))
            self._keep(rows, html)
            self._rendered_at = now

    def _keep(self, rows: dict[str, NodeRow], html: dict[str, str]) -> None:
        order = tuple(rows)
        new = {name for name, text in html.items() if self._html.get(name) != text}
        if order != self._order:
            new.add(NODES)
        if new:
            self.version += 1
        changed = {**self._changed, **dict.fromkeys(new, self.version)}
        self._changed = {name: changed[name] for name in (NODES, *html)}
        self._rows, self._html, self._order = rows, html, order

    def _render(self, scene: Scene, rows: Mapping[str, NodeRow]) -> Iterator[tuple[str, str]]:
        for name, template in self._templates.items():
            if name != "node":
                yield name, template.render(scene=scene)
        for id_, row in rows.items():
            if row == self._rows.get(id_):
                yield id_, self._html[id_]
            else:
                yield id_, self._templates["node"].render(row=row, node=row.status)


def _id_of(row: NodeRow) -> str:
    return f"node-{row.status.name}"


def _unaged(row: NodeRow) -> NodeRow:
    """Its age grows each second, and is shown only by whether there is one."""
    if row.status.age is None:
        return row
    return replace(row, status=msgspec.structs.replace(row.status, age=0.0))
