"""The whole chain with the real programs: LLM, exporters, Prometheus, Alertmanager, router, pages.

One `dpl up --demo-nodes 2` for all; each test leaves it as it was.
"""

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.system.browser import ARGUMENTS, chromium
from tests.system.running import MODEL, ROOT, Stack, dpl_up, eventually

pytestmark = pytest.mark.system

NODES = {"demo-1", "demo-2"}
SCRAPED = 45.0
"""Seconds until Prometheus has scraped and recorded, and the router has read it."""
ALARM = 150.0
"""DplLlmDown waits for a minute; scrape, evaluation and grouping come on top."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with dpl_up(tmp_path_factory.mktemp("first-light"), "--demo", "--demo-nodes", "2") as running:
        yield running


@pytest.fixture
def settled(stack: Stack) -> Stack:
    """Both nodes up and facts from PromQL."""
    eventually(lambda: all(node["online"] for node in stack.get("/api/status/all").json()), SCRAPED)
    eventually(lambda: stack.mode() == "promql", SCRAPED)
    return stack


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Fails where the page complains on its console."""
    opened = browser.new_page()
    complaints: list[str] = []
    opened.on(
        "console", lambda said: complaints.append(said.text) if said.type == "error" else None
    )
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    opened.close()
    assert complaints == []


class Chatting:
    """Chats without a pause until it is left; what the router answered."""

    def __init__(self, stack: Stack) -> None:
        self.answers: Counter[tuple[int, str]] = Counter()
        self._stack = stack
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._chat)

    def _chat(self) -> None:
        while not self._over.is_set():
            answer = self._stack.chat()
            self.answers[answer.status_code, answer.headers.get("x-dpl-node", "nobody")] += 1

    def __enter__(self) -> "Chatting":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(90)

    @property
    def failed(self) -> list[tuple[int, str]]:
        return [seen for seen in self.answers if seen[0] != 200]


def test_the_printed_curl_line_answers_and_names_the_node(stack: Stack) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", stack.curl], capture_output=True, text=True, timeout=60, check=True
    )

    head, _, body = done.stdout.replace("\r", "").partition("\n\n")
    node = dict(line.split(": ", 1) for line in head.splitlines()[1:])["x-dpl-node"]
    chunks = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert node in NODES
    assert len(text) > 3
    assert body.rstrip().endswith("data: [DONE]")


def test_dpl_ask_answers_and_names_the_node(stack: Stack) -> None:
    done = stack.dpl("ask", MODEL, "Say hello.")

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stderr.startswith("node demo-")
    assert "tok/s, first token" in done.stderr


def test_dpl_get_nodes_lists_both(stack: Stack) -> None:
    done = stack.dpl("get", "nodes", "-o", "name")

    assert set(done.stdout.split()) == NODES


def test_prometheus_scrapes_and_records(settled: Stack) -> None:
    def jobs() -> Counter[str]:
        return Counter(found["metric"]["job"] for found in settled.query("up == 1"))

    wanted = {"dpl-exporter": 2, "dpl-router": 1, "prometheus": 1, "alertmanager": 1}
    eventually(lambda: jobs() == wanted, SCRAPED)

    def sampled() -> set[str]:
        found = settled.query("node:dpl_sample_timestamp:max")
        return {one["metric"]["node"] for one in found}

    def scored() -> set[tuple[str, str]]:
        found = settled.query("node_model:dpl_load:score")
        return {(one["metric"]["node"], one["metric"]["model"]) for one in found}

    # A rule sees what was scraped before it ran: the facts follow the scrape by an interval.
    eventually(lambda: sampled() == NODES, SCRAPED)
    eventually(lambda: scored() == {(node, MODEL) for node in NODES}, SCRAPED)


def test_without_prometheus_the_router_goes_on_and_comes_back(settled: Stack) -> None:
    with Chatting(settled) as chatting:
        with settled.without("prometheus"):
            eventually(lambda: settled.mode() == "direct", SCRAPED)
        eventually(lambda: settled.mode() == "promql", SCRAPED)

    assert chatting.failed == []
    assert chatting.answers.total() > 3


def test_a_dead_llm_reaches_alertmanager_the_api_and_the_page(settled: Stack, page: Page) -> None:
    alertmanager = settled.address("Alertmanager") + "/api/v2/alerts"

    with settled.without("llm-1"):
        with Chatting(settled) as chatting:
            eventually(lambda: fires(httpx.get(alertmanager, timeout=10).json()), ALARM)
            eventually(lambda: tells(settled.get("/api/alerts").json()), 30)
        page.goto(settled.url)

        expect(page.locator("#alerts")).to_contain_text("DplLlmDown", timeout=30_000)
        expect(page.locator("#node-demo-1")).to_contain_text("Offline")
        expect(page.locator("#node-demo-2")).to_contain_text("Ready")
        assert chatting.failed == []
        assert chatting.answers[200, "demo-2"] > 3


def fires(alerts: list[dict[str, dict[str, str]]]) -> bool:
    return any(
        alert["labels"]["alertname"] == "DplLlmDown" and alert["labels"]["node"] == "demo-1"
        for alert in alerts
    )


def tells(alerts: list[dict[str, str]]) -> bool:
    return any(alert["alertname"] == "DplLlmDown" and alert["node"] == "demo-1" for alert in alerts)


def test_the_chat_page_names_the_node_then_answers(settled: Stack, page: Page) -> None:
    page.goto(settled.address("chat page"))
    page.fill("#say", "Say hello in one sentence.")
    page.press("#say", "Enter")

    answer = page.locator("#talk > *").last
    expect(answer).to_contain_text("demo-", timeout=30_000)
    expect(page.locator("#send")).to_be_visible(timeout=60_000)
    assert len(answer.inner_text()) > 20


def test_the_stop_button_stops_the_node_too(settled: Stack, page: Page) -> None:
    page.goto(settled.address("chat page"))
    page.fill("#say", "Write a very long story about a lighthouse, with many chapters.")
    page.press("#say", "Enter")
    expect(page.locator("#talk > *").last).to_contain_text("demo-", timeout=30_000)
    eventually(lambda: busy(settled) == 1, 10)

    page.click("#stop")

    expect(page.locator("#send")).to_be_visible(timeout=10_000)
    eventually(lambda: busy(settled) == 0, 10)


def busy(stack: Stack) -> int:
    """Slots at work, as the LLM servers themselves count."""
    urls = (f"{node['url']}/slots" for node in inventory(stack))
    return sum(slot["is_processing"] for url in urls for slot in httpx.get(url, timeout=10).json())


def inventory(stack: Stack) -> list[dict[str, str]]:
    lines = Path(stack.address("nodes file")).read_text().splitlines()
    pairs = [line.strip().removeprefix("- ").split(": ", 1) for line in lines if ": " in line]
    fields = [(name, value) for name, value in pairs if name in ("url", "exporter")]
    return [dict(fields[at : at + 2]) for at in range(0, len(fields), 2)]


def test_twenty_instructions_eight_at_a_time(settled: Stack) -> None:
    tasks = json.loads((ROOT / "tests/data/seed_tasks/seed_tasks.json").read_text())
    client = openai.OpenAI(base_url=settled.url + "/v1", api_key="none", max_retries=0, timeout=120)

    def instruct(task: dict[str, str]) -> tuple[str, str]:
        prompt = "\n\n".join(filter(None, (task["instruction"], task.get("input"))))
        raw = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=[{"role": "user", "content": prompt}], max_tokens=64
        )
        return raw.headers["x-dpl-node"], raw.parse().choices[0].message.content or ""

    with client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(instruct, tasks))

    assert len(answers) == 20
    assert all(text for _, text in answers)
    assert {node for node, _ in answers} == NODES
    for node in inventory(settled):
        eventually(lambda url=node["exporter"]: not locked(url), 10)  # type: ignore[misc]


def locked(exporter: str) -> bool:
    found: bool = httpx.get(exporter + "/status", timeout=10).json()["locked"]
    return found
