"""The chat's Markdown in a real browser: what a model says becomes text and a few elements."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.router import running_router
from tests.system.browser import browsing

pytestmark = pytest.mark.system

RENDER = """async (source) => {
  const { show } = await import("/static/markdown.js");
  const box = document.createElement("div");
  show(box, source);
  return box.innerHTML;
}"""

SHOWN: Sequence[tuple[str, str]] = (
    ("a **b** *c* `d` ~~e~~", "<p>a <strong>b</strong> <em>c</em> <code>d</code> <s>e</s></p>"),
    ("snake_case_name 2*3*4", "<p>snake_case_name 2*3*4</p>"),
    ("one\ntwo\n\nthree", "<p>one<br>two</p><p>three</p>"),
    ("# big\n#no", "<h3>big</h3><p>#no</p>"),
    ("- a\n- b\n  - c", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"),
    ("- a\n\n1. x", "<ul><li>a</li></ul><ol><li>x</li></ol>"),
    ("3. x\n4. y", '<ol start="3"><li>x</li><li>y</li></ol>'),
    ("> a\n> b", "<blockquote><p>a<br>b</p></blockquote>"),
    ("---", "<hr>"),
    ("<b>x</b> &amp;", "<p>&lt;b&gt;x&lt;/b&gt; &amp;amp;</p>"),
    ("[x](javascript:y)", "<p>[x](javascript:y)</p>"),
    ("[x](data:text/html,y)", "<p>[x](data:text/html,y)</p>"),
    (r"\*a\*", "<p>*a*</p>"),
    ("open **bold", "<p>open **bold</p>"),
    ("\u2028a\u2028- b", "<p>\u2028a\u2028- b</p>"),
    ("", ""),
)

HEAVY = {
    "stars": "*" * 50_000,
    "ticks": "`" * 50_000,
    "brackets": "[" * 50_000,
    "quotes": "> " * 5_000,
    "bars": "|" * 50_000 + "\n|-",
    "spaces": "# " + " " * 50_000 + "x",
    "bullets": "- " * 5_000,
    "underscores": "_a" * 25_000,
    "urls": "https://" * 10_000,
    "deep": "\n".join(" " * depth + "- x" for depth in range(500)),
    "struck": "~~a" * 20_000,
}


@asynccontextmanager
async def rendering(folder: Path) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Markdown in, HTML out, under the page's own policy."""
    async with (
        running_router({"a": "http://127.0.0.1:9"}, folder=folder) as router,
        browsing() as (page, _),
    ):
        await page.goto(router.url)

        async def render(source: str) -> str:
            return str(await page.evaluate(RENDER, source))

        yield render


async def test_markdown_becomes_allow_listed_elements(tmp_path: Path) -> None:
    async with rendering(tmp_path) as render:
        rendered = [(source, await render(source)) for source, _ in SHOWN]

    assert rendered == list(SHOWN)


async def test_no_text_makes_the_renderer_hang(tmp_path: Path) -> None:
    """A model says what it likes; the time-out only tells a hang from work."""
    async with rendering(tmp_path) as render:
        async with asyncio.timeout(60):
            lengths = {name: len(await render(source)) for name, source in HEAVY.items()}

    assert min(lengths.values()) > 0


async def test_code_links_and_tables_are_shown(tmp_path: Path) -> None:
    async with rendering(tmp_path) as render:
        code = await render("```py\n<a> = **1**\n```")
        link = await render("see https://x.test/a_b.")
        table = await render("|a|b|\n|:-|-:|\n|1|**2**|")

    assert "<code>&lt;a&gt; = **1**</code>" in code
    assert 'href="https://x.test/a_b."' in link
    assert 'rel="noopener noreferrer nofollow"' in link
    assert "<tr><td>1</td><td><strong>2</strong></td></tr>" in table
