"""A real browser for the page tests: Chromium from PATH, a record of all it did, and a router."""

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, Request, async_playwright, expect

from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import Running, running_router
from tests.router.pages.stage import answering, exposition

LONG = "library/" + "a-very-long-model-name-" * 6 + ":70b-instruct-q4_K_M"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Seen:
    """What the page did: messages on its console, errors, addresses it asked."""

    messages: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def elsewhere(self, url: str) -> list[str]:
        return [each for each in self.addresses if not each.startswith((url, "data:", "blob:"))]


def chromium() -> str:
    """Raises: FileNotFoundError, which says what to install."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    raise FileNotFoundError("the page tests need Chromium on PATH: apt-get install chromium")


@asynccontextmanager
async def browsing(**context: Any) -> AsyncIterator[tuple[Page, Seen]]:
    """One page in a fresh profile; `context` as Playwright's `new_context` takes it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        try:
            page = await (await browser.new_context(**context)).new_page()
            page.set_default_timeout(15_000)
            seen = Seen()

            def asked(request: Request) -> None:
                seen.addresses.append(request.url)

            page.on("console", lambda message: seen.messages.append(message.text))
            page.on("pageerror", lambda error: seen.messages.append(str(error)))
            page.on("request", asked)
            yield page, seen
        finally:
            await browser.close()


@dataclass
class Stage:
    page: Page
    seen: Seen
    router: Running
    node: FakeOpenAi

    async def open(self, path: str = "/") -> Page:
        await self.page.goto(self.router.url + path)
        return self.page

    async def ask(self, text: str) -> None:
        """From the chat page."""
        await self.page.get_by_role("textbox", name="Message").fill(text)
        await expect(self.page.locator("#send")).to_be_enabled()  # its script is there
        await self.page.keyboard.press("Enter")

    @property
    def answer(self) -> Locator:
        """The last one."""
        return self.page.locator("article.answer").last


@asynccontextmanager
async def staged(
    folder: Path,
    *,
    tokens: tuple[str, ...] = ("Hello", " from", " the", " fake."),
    model: str = "tiny",
    settings: Mapping[str, Any] | None = None,
    **context: Any,
) -> AsyncIterator[Stage]:
    """A router with one node `a`, and a browser, which leaves first."""
    with FakeOpenAi(tokens=tokens, model=model) as node:
        async with (
            answering(lambda: exposition({model: True, LONG: False})) as exporter,
            running_router(
                {"a": {"url": node.url, "exporter": exporter}}, folder=folder, **(settings or {})
            ) as router,
            browsing(**context) as (page, seen),
        ):
            yield Stage(page, seen, router, node)
