"""The two pages in a real browser."""

import hashlib
from pathlib import Path

import pytest
import yaml
from playwright.async_api import expect

from tests.fakes.openai import Faults
from tests.fakes.router import running_router
from tests.router.pages.stage import alert, alertmanager
from tests.system.browser import browsing, staged

pytestmark = pytest.mark.system

HOSTILE = "<img src=x onerror=document.title='hit'><script>document.title='hit'</script>"
WIDTHS = (375, 768, 1280)


async def test_no_console_message_and_no_request_elsewhere(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        page = await stage.open("/")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("ready")
        await stage.open("/chat")
        await stage.ask("hello")
        await expect(stage.answer).to_contain_text("Hello from the fake.")
        weight = await page.evaluate(
            "performance.getEntriesByType('resource')"
            ".filter(each => each.name.includes('/static/'))"
            ".reduce((sum, each) => sum + each.decodedBodySize, 0)"
        )

    assert stage.seen.messages == []
    assert stage.seen.elsewhere(stage.router.url) == []
    assert 0 < weight < 60_000


def keys_of(folder: Path, role: str) -> Path:
    """A keys file that knows `the-key`."""
    keys = folder / "keys.yaml"
    digest = hashlib.sha256(b"the-key").hexdigest()
    keys.write_text(yaml.safe_dump({"keys": [{"name": "me", "role": role, "sha256": digest}]}))
    return keys


async def test_a_browser_signs_in_asks_and_signs_out(tmp_path: Path) -> None:
    async with staged(tmp_path, settings={"keys_file": keys_of(tmp_path, "user")}) as stage:
        page = await stage.open("/chat")
        await page.get_by_label("Key").fill("not the key")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("not known here")
        await page.get_by_label("Key").fill("the-key")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{stage.router.url}/chat")
        await stage.ask("hello")
        await expect(stage.answer).to_contain_text("Hello from the fake.")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page).to_have_url(f"{stage.router.url}/login")
        after = await page.goto(f"{stage.router.url}/chat")

    assert after is not None
    assert after.status == 401


async def test_who_may_only_look_is_told_so_and_gets_another_way_in(tmp_path: Path) -> None:
    """No node is looked for, and the same key is refused again."""
    async with staged(tmp_path, settings={"keys_file": keys_of(tmp_path, "viewer")}) as stage:
        page = await stage.open("/chat")
        await page.get_by_label("Key").fill("the-key")
        await page.keyboard.press("Enter")
        await stage.ask("hello")
        await expect(stage.answer.get_by_role("alert")).to_contain_text("key of role user")
        await expect(stage.answer).not_to_contain_text("Looking for a node")
        await expect(stage.answer.get_by_role("button", name="Try again")).to_have_count(0)
        await stage.answer.get_by_role("link", name="Sign in with another key").click()
        await expect(page).to_have_url(f"{stage.router.url}/login?next=/chat")
        await expect(page.get_by_label("Key")).to_be_visible()


async def test_a_page_that_the_browser_kept_is_asked_for_anew(tmp_path: Path) -> None:
    """After "Sign out" the way back must not show what needs a key."""
    async with staged(tmp_path, settings={"keys_file": keys_of(tmp_path, "user")}) as stage:
        page = await stage.open("/chat")
        await page.get_by_label("Key").fill("the-key")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("textbox", name="Message")).to_be_visible()
        await page.context.clear_cookies()
        await page.evaluate(
            "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"
        )
        await expect(page.get_by_role("heading", name="This page needs a key")).to_be_visible()


async def test_a_page_whose_key_ends_says_so_and_leads_to_the_form(tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"

    def known(*names: str) -> None:
        rows = [(name, hashlib.sha256(name.encode()).hexdigest()) for name in names]
        listed = [{"name": name, "role": "user", "sha256": digest} for name, digest in rows]
        keys.write_text(yaml.safe_dump({"keys": listed}))

    known("old", "new")
    async with staged(tmp_path, settings={"keys_file": keys}) as stage:
        page = await stage.open("/chat")
        await page.get_by_label("Key").fill("old")
        await page.keyboard.press("Enter")
        await page.get_by_role("textbox", name="Message").fill("half a question")
        known("new")
        await expect(page.locator("#lost")).to_contain_text("signed out", timeout=20_000)
        kept = await page.get_by_role("textbox", name="Message").input_value()
        await page.locator("#lost a").click()
        await page.get_by_label("Key").fill("new")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{stage.router.url}/chat")

    assert kept == "half a question"


async def test_no_page_scrolls_sideways(tmp_path: Path) -> None:
    alerts = [alert(summary="x" * 300, description="y" * 500, node="a")]
    code = ("```text\n" + "z" * 400 + "\n```\n\n", "w" * 400, "\n\n|a|b|\n|-|-|\n|" + "v" * 200)
    async with (
        alertmanager(alerts) as url,
        staged(tmp_path, tokens=code, settings={"alertmanager_url": url}) as stage,
    ):
        too_wide = []
        for path in ("/", "/chat"):
            page = await stage.open(path)
            if path == "/chat":
                await stage.ask("q" * 300)
                await expect(stage.answer.locator(".speed")).to_be_visible()
            else:
                await expect(page.locator("#alerts")).to_contain_text("xxx")
            for width in WIDTHS:
                await page.set_viewport_size({"width": width, "height": 700})
                wide = await page.evaluate("document.documentElement.scrollWidth")
                if wide > width:
                    too_wide.append((path, width, wide))

    assert too_wide == []


async def test_hostile_names_alerts_and_answers_are_inert(tmp_path: Path) -> None:
    alerts = [alert(summary=HOSTILE, description=HOSTILE, node="a")]
    answer = (
        HOSTILE,
        "\n\n![i](http://elsewhere.test/i.png) [go](javascript:document.title='hit')\n\n",
        "```" + HOSTILE + "\n" + HOSTILE + "\n```\n\n# " + HOSTILE,
    )
    async with (
        alertmanager(alerts) as url,
        staged(tmp_path, tokens=answer, model=HOSTILE, settings={"alertmanager_url": url}) as stage,
    ):
        page = await stage.open("/")
        await expect(page.locator("#alerts")).to_contain_text("<img src=x")
        await expect(page.locator("#node-a .models")).to_contain_text("<img src=x")
        await stage.open("/chat")
        await page.locator("#models").select_option(HOSTILE)
        await stage.ask(HOSTILE)
        await expect(stage.answer.locator(".speed")).to_be_visible()
        await page.reload()
        await expect(stage.answer.locator(".speed")).to_be_visible()
        title = await page.title()
        made = await page.evaluate("document.querySelectorAll('main img, main script').length")
        links = await page.evaluate("[...document.querySelectorAll('.text a')].map(a => a.href)")

    assert title == "(1) Chat · DPL" or title == "Chat · DPL"
    assert made == 0
    assert links == ["http://elsewhere.test/i.png"]
    assert stage.seen.elsewhere(stage.router.url) == []
    assert stage.seen.messages == []


async def test_the_overview_changes_without_a_reload(tmp_path: Path) -> None:
    async with staged(tmp_path, tokens=("word ",) * 100) as stage:
        page = await stage.open("/")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("The node is ready")
        await page.evaluate("window.same = true")
        row = page.locator("#node-a")
        await expect(row).to_contain_text("3.0 of 16.0 GiB")
        stage.node.faults = Faults(token_delay=0.2)
        async with (
            stage.router.client() as client,
            client.stream(
                "POST",
                "/v1/chat/completions",
                json={"stream": True, "messages": [{"role": "user", "content": "x"}]},
            ) as answer,
        ):
            pieces = answer.aiter_raw()
            await anext(pieces)
            await expect(row).to_contain_text("1 of 4 places taken")
        same = await page.evaluate("window.same")

    assert same is True


async def test_a_router_that_went_away_is_told_with_the_time_of_what_is_shown(
    tmp_path: Path,
) -> None:
    async with browsing() as (page, _):
        await page.clock.install()
        async with running_router({"a": "http://127.0.0.1:9"}, folder=tmp_path) as router:
            await page.goto(router.url)
            await expect(page.get_by_role("heading", level=1)).to_contain_text("No node")
            router.parts.dispatcher.draining = True
        await page.clock.fast_forward(20_000)
        await expect(page.locator("#lost")).to_contain_text("The router does not answer")


async def test_everything_works_by_keyboard_alone(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        page = await stage.open("/")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.type("gc")
        await page.wait_for_url("**/chat")
        message = page.get_by_role("textbox", name="Message")
        await expect(message).to_be_focused()
        await page.keyboard.type("one")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("two")
        await page.keyboard.press("Enter")
        await expect(stage.answer.locator(".text")).to_have_text("Hello from the fake.")
        await expect(message).to_be_focused()

    assert stage.node.chats[-1].json["messages"][-1]["content"] == "one\ntwo"


async def test_without_javascript_the_content_can_be_read(tmp_path: Path) -> None:
    async with staged(tmp_path, java_script_enabled=False) as stage:
        page = await stage.open("/")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("The node is ready")
        await expect(page.locator("#node-a")).to_contain_text("tiny")
        await stage.open("/chat")
        await expect(page.get_by_text("needs JavaScript")).to_be_visible()
        await expect(page.get_by_label("Model")).to_contain_text("tiny")


async def test_nothing_is_sent_before_the_script_is_there(tmp_path: Path) -> None:
    """The browser would send the form by itself, and show the page anew without the words."""
    async with staged(tmp_path) as stage:
        await stage.page.route("**/chat.js", lambda route: route.abort())
        page = await stage.open("/chat")
        await page.get_by_role("textbox", name="Message").fill("hello")
        await expect(page.get_by_role("button", name="Send")).to_be_disabled()


async def test_the_theme_follows_the_system_until_one_is_chosen_and_is_remembered(
    tmp_path: Path,
) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    async with staged(tmp_path, color_scheme="dark") as stage:
        page = await stage.open("/")
        dark = await page.evaluate(ground)
        await page.get_by_role("button", name="Theme: system").click()
        light = await page.evaluate(ground)
        await stage.open("/chat")
        remembered = await page.evaluate(ground)
        await expect(page.get_by_role("button", name="Theme: light")).to_be_visible()

    assert dark != light
    assert remembered == light


CONTRAST = """() => {
  const probe = document.createElement("i");
  document.body.append(probe);
  const light = (name) => {
    probe.className = "probe";
    probe.style.color = `var(--${name})`;
    const parts = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const [r, g, b] = parts.map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pairs = [["on-accent", "accent"], ["surface", "bad"]];
  for (const text of ["text", "muted", "accent", "ok", "warn", "bad", "busy"])
    for (const ground of ["bg", "surface", "hover"]) pairs.push([text, ground]);
  return pairs.map(([a, b]) => {
    const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
    return [`${a} on ${b}`, (high + 0.05) / (low + 0.05)];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_colour_has_contrast_on_every_ground(tmp_path: Path, scheme: str) -> None:
    async with staged(tmp_path, color_scheme=scheme) as stage:
        page = await stage.open("/")
        ratios = await page.evaluate(CONTRAST)

    assert len(ratios) == 23
    assert [(name, round(ratio, 2)) for name, ratio in ratios if ratio < 4.5] == []


async def test_a_screen_reader_finds_landmarks_names_and_table(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        page = await stage.open("/")
        overview = await page.locator("body").aria_snapshot()
        await page.set_viewport_size({"width": 375, "height": 700})
        phone = await page.locator("body").aria_snapshot()
        await stage.open("/chat")
        await stage.ask("hello")
        await expect(page.locator("#spoken")).to_have_text("Hello from the fake.")
        chat = await page.locator("body").aria_snapshot()
        nameless = await page.evaluate(
            "[...document.querySelectorAll('button, a, input, select, textarea')]"
            ".filter(each => !(each.ariaLabel || each.textContent.trim() || each.labels?.length))"
            ".map(each => each.outerHTML)"
        )

    for snapshot in (overview, phone):
        for part in (
            "- banner:",
            '- navigation "Pages":',
            "- main:",
            '- contentinfo "The router":',
            '- region "Alerts":',
            '- table "Nodes":',
            "- columnheader",
            '- rowheader "a":',
        ):
            assert part.rstrip(":") in snapshot, part
    for part in (
        '- combobox "Model"',
        '- textbox "Message"',
        '- button "Send"',
        '- log "Messages"',
    ):
        assert part in chat
    assert nameless == []
