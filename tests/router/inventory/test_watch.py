"""However an editor saves: the change is seen, once the file is there."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from dpl_router.inventory.watch import watch


class Seen:
    """The file's text at each call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.texts: list[str | None] = []
        self.called = anyio.Event()

    async def apply(self) -> None:
        path = anyio.Path(self.path)
        self.texts.append(await path.read_text() if await path.exists() else None)
        self.called.set()
        self.called = anyio.Event()

    async def first(self) -> None:
        with anyio.fail_after(10):
            while not self.texts:
                await self.called.wait()

    async def last(self, text: str | None, times: int = 1) -> None:
        with anyio.fail_after(10):
            while self.texts[-times:] != [text] * times:
                await self.called.wait()


@asynccontextmanager
async def watched(path: Path, *named: Path) -> AsyncIterator[Seen]:
    seen = Seen(path)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch, path, seen.apply, lambda: named)
        await seen.first()
        yield seen
        tasks.cancel_scope.cancel()


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def by_rename(path: Path, text: str) -> None:
    beside = path.with_name(".swap")
    beside.write_text(text)
    beside.replace(path)


def with_a_backup(path: Path, text: str) -> None:
    path.replace(path.with_name("nodes.yaml~"))
    path.write_text(text)


@pytest.mark.parametrize("save", [in_place, by_rename, with_a_backup])
async def test_each_way_to_save_is_seen_every_time(
    tmp_path: Path, save: Callable[[Path, str], None]
) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text("one")

    async with watched(path) as seen:
        for text in ("second", "third save", "x"):
            save(path, text)
            await seen.last(text)


async def test_a_link_that_points_elsewhere_is_a_change(tmp_path: Path) -> None:
    """Kubernetes replaces mounted files so."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "nodes.yaml").write_text("old")
    (tmp_path / "b" / "nodes.yaml").write_text("new text")
    os.symlink("a", tmp_path / "data")
    os.symlink("data/nodes.yaml", tmp_path / "nodes.yaml")

    async with watched(tmp_path / "nodes.yaml") as seen:
        os.symlink("b", tmp_path / "next")
        (tmp_path / "next").replace(tmp_path / "data")
        await seen.last("new text")


async def test_a_file_that_goes_and_comes_back_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text("one")

    async with watched(path) as seen:
        path.unlink()
        await seen.last(None)
        path.write_text("back")
        await seen.last("back")


async def test_other_files_in_the_folder_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text("one")

    async with watched(path) as seen:
        (tmp_path / "audit.jsonl").write_text("{}")
        await anyio.sleep(0.7)
        in_place(path, "two")
        await seen.last("two")
        await anyio.sleep(0.7)

        assert seen.texts == ["one", "two"]


async def test_what_changed_before_the_watch_began_is_applied(tmp_path: Path) -> None:
    """Between a program's first reading and its watch there is time for a save."""
    path = tmp_path / "nodes.yaml"
    path.write_text("read at the start")
    path.write_text("saved a moment later")

    async with watched(path) as seen:
        assert seen.texts == ["saved a moment later"]


async def test_a_renewed_pair_that_it_names_is_one_change(tmp_path: Path) -> None:
    """Wherever it lies: a certificate without its key would be told as a mistake."""
    path, folder = tmp_path / "nodes.yaml", tmp_path / "elsewhere"
    path.write_text("one")
    folder.mkdir()
    cert, key = folder / "cert.pem", folder / "key.pem"

    async with watched(path, cert, key) as seen:
        cert.write_text("new")
        await anyio.sleep(0.1)
        key.write_text("new")
        await seen.last("one", times=2)
        await anyio.sleep(1.5)

        assert seen.texts == ["one", "one"]
