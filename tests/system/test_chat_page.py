"""The chat page in a real browser."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.fakes.openai import Faults
from tests.fakes.router import until
from tests.system.browser import staged

pytestmark = pytest.mark.system


async def test_the_node_is_named_before_the_first_token_and_the_speed_at_the_end(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        stage.node.faults = Faults(first_delay=1.0, token_delay=0.05)
        await stage.open("/chat")
        await stage.ask("hello")
        await expect(stage.answer.locator("h2")).to_contain_text("a · chosen: ")
        text_then = await stage.answer.locator(".text").text_content()
        await expect(stage.answer.locator(".text")).to_have_text("Hello from the fake.")
        speed = await stage.answer.locator(".speed").text_content()

    assert text_then == ""
    assert re.fullmatch(r"[\d.]+ tok/s · first token \d+\.\d\d s · 4 tokens", speed or "")


@pytest.mark.parametrize("how", ["button", "key"])
async def test_stopping_reaches_the_node(tmp_path: Path, how: str) -> None:
    async with staged(tmp_path, tokens=("word ",) * 200) as stage:
        stage.node.faults = Faults(token_delay=0.1)
        page = await stage.open("/chat")
        await stage.ask("hello")
        await expect(stage.answer.locator(".text")).to_contain_text("word")
        if how == "button":
            await page.get_by_role("button", name="Stop").click()
        else:
            await page.keyboard.press("Escape")
        await until(lambda: stage.node.hang_ups, 5, "the node hears of it")
        await expect(stage.answer.locator(".speed")).to_contain_text("stopped")
        await expect(page.get_by_role("button", name="Send")).to_be_visible()

    assert len(stage.node.hang_ups) == 1
    assert stage.node.finished == []


async def test_a_failure_stays_in_the_bubble_and_can_be_tried_again(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.node.faults = Faults(die="after_tokens", after=2, times=1)
        page = await stage.open("/chat")
        await stage.ask("hello")
        await expect(stage.answer.get_by_role("alert")).to_contain_text("in the middle")
        await stage.answer.get_by_role("button", name="Try again").click()
        await expect(stage.answer.locator(".text")).to_have_text("Hello from the fake.")
        answers = await page.locator("article.answer").count()

    assert answers == 1


async def test_a_refusal_is_told_in_words(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.node.faults = Faults(
            status=400, body='{"error":{"code":400,"message":"too long for the context"}}'
        )
        await stage.open("/chat")
        await stage.ask("hello")
        await expect(stage.answer.get_by_role("alert")).to_contain_text("too long for the context")


async def test_settings_reach_the_node_and_auto_leaves_the_choice(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        page = await stage.open("/chat")
        await page.get_by_role("button", name="Settings").click()
        await page.get_by_label("System prompt").fill("be brief")
        await page.get_by_label("Temperature").fill("0.5")
        await page.get_by_label("Longest answer, in tokens").fill("7")
        await page.get_by_role("button", name="Done").click()
        await stage.ask("hello")
        await expect(stage.answer.locator(".speed")).to_be_visible()
        body = stage.node.chats[-1].json

    assert body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
    ]
    assert (body["temperature"], body["max_tokens"], body["model"]) == (0.5, 7, "tiny")


async def test_chats_stay_in_the_browser_until_they_are_deleted(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        page = await stage.open("/chat")
        await stage.ask("remember me")
        await expect(stage.answer.locator(".speed")).to_be_visible()
        await page.reload()
        await expect(stage.answer.locator(".text")).to_have_text("Hello from the fake.")
        await page.get_by_role("button", name="New chat").click()
        await expect(page.locator("article")).to_have_count(0)
        await page.get_by_role("button", name="Chats").click()
        await page.get_by_role("button", name="remember me", exact=True).click()
        await expect(page.locator("article.you")).to_contain_text("remember me")
        await page.get_by_role("button", name="Chats").click()
        await page.get_by_role("button", name="Delete the chat: remember me").click()
        await page.keyboard.press("Escape")
        await page.reload()
        await expect(page.locator("#welcome")).to_be_visible()
        kept = await page.evaluate("localStorage.getItem('dpl-chats')")

    assert kept == "[]"


async def test_with_auto_the_model_is_named_and_waiting_only_where_the_router_queued(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        page = await stage.open("/chat")
        await page.locator("#models").select_option("")
        await stage.ask("hello")
        await expect(stage.answer.locator("h2")).to_contain_text("a · tiny · chosen: ")
        auto = await stage.answer.locator("h2").text_content()
        await page.locator("#models").select_option("tiny")
        await stage.ask("again")
        await expect(stage.answer.locator(".speed")).to_be_visible()
        named = await stage.answer.locator("h2").text_content()

    assert "waited" not in (auto or "")
    assert "tiny" not in (named or "")
