"""Our own chat page in Chromium, used as a person uses it."""

import re
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from tests.clients.scripts.reporting import MOST, Target, run
from tests.system.browser import ARGUMENTS, chromium

PATIENCE = 30_000
"""Milliseconds."""


class ChatPage:
    """Opened anew for each feature, with a chat of its own."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.set_default_timeout(PATIENCE)

    def _open(self, target: Target) -> Any:
        self._page.goto(f"{target.url}/chat")
        self._page.get_by_role("button", name="New chat").click()
        return self._page

    def _ask(self, target: Target, feature: str, model: str, most: str = "") -> Any:
        page = self._open(target)
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Longest answer, in tokens").fill(most)
        page.get_by_role("button", name="Done").click()
        page.locator("#models").select_option(model)
        page.get_by_role("textbox", name="Message").fill(target.question(feature))
        page.keyboard.press("Enter")
        return page

    def stream(self, target: Target) -> object:
        page = self._ask(target, "stream", target.chat, str(MOST))
        bubble = page.locator("article.answer").last
        expect(bubble.locator(".speed")).to_contain_text("tokens", timeout=PATIENCE)
        text = bubble.locator(".text").inner_text()
        return {"text": text}

    def thinking(self, target: Target) -> object:
        page = self._ask(target, "thinking", target.think)
        bubble = page.locator("article.answer").last
        expect(bubble.locator(".speed")).to_contain_text("tokens", timeout=PATIENCE)
        thought = bubble.locator(".thinking p").text_content()
        text = bubble.locator(".text").inner_text()
        return {"thinking": thought, "text": text}

    def options(self, target: Target) -> object:
        page = self._ask(target, "options", target.chat, "2")
        bubble = page.locator("article.answer").last
        expect(bubble.locator(".speed")).to_contain_text("2 tokens", timeout=PATIENCE)
        text = bubble.locator(".text").inner_text()
        return {"cut": text}

    def models(self, target: Target) -> object:
        page = self._open(target)
        options = page.locator("#models option").all()
        known = [one.get_attribute("value") for one in options]
        return {"models": known}

    def hang_up(self, target: Target) -> object:
        page = self._ask(target, "hang_up", target.slow)
        bubble = page.locator("article.answer").last
        expect(bubble.locator(".text")).to_have_text(re.compile(r"\w+"), timeout=PATIENCE)
        page.get_by_role("button", name="Stop").click()
        expect(bubble.locator(".speed")).to_contain_text("stopped", timeout=PATIENCE)
        return {"first": "stopped"}


if __name__ == "__main__":
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        pages = ChatPage(started.new_page())
        run(
            {
                "stream": pages.stream,
                "thinking": pages.thinking,
                "options": pages.options,
                "models": pages.models,
                "hang_up": pages.hang_up,
            }
        )
        started.close()
