"""Reading an exporter directly costs little and has an end."""

import asyncio
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from dpl_router.control import Control
from dpl_router.errors import Unavailable
from dpl_router.telemetry.direct import CLOCK, LARGEST_PAGE, OURS, WORKED, ours, scrape
from tests.fakes.programs import ROOT
from tests.fakes.wire import Peer, served

GOLDEN = sorted((ROOT / "tests/exporter/golden").glob("*.prom"))
NAMES = st.sampled_from(
    ["dpl_llm_up", "dpl_llm_up_more", "x_dpl_llm_up", "dpl_node_cpu_seconds_total", CLOCK, WORKED]
)
LABELS = st.dictionaries(
    st.sampled_from(["model", "gpu", "collector"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)


def lines(name: str, labels: dict[str, str], value: float, described: bool) -> str:
    kind = "counter" if name.endswith("_total") else "gauge"
    told = ",".join(f'{key}="{escaped(text)}"' for key, text in labels.items())
    sample = f"{name}{{{told}}} {value!r}" if told else f"{name} {value!r}"
    return f"# HELP {name} dpl_llm_up 7\n# TYPE {name} {kind}\n{sample}" if described else sample


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


PAGES = st.lists(st.builds(lines, NAMES, LABELS, st.floats(), st.booleans()))


def facts(text: str) -> list[str]:
    """As text, in which a value that is no number is like itself."""
    found: list[Sample] = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ]
    return [repr(sample) for sample in found if sample.name in OURS]


@given(PAGES)
def test_what_is_not_parsed_is_what_would_not_be_looked_at(page: list[str]) -> None:
    text = "\n".join(page) + "\n"

    assert facts(ours(text)) == facts(text)


@pytest.mark.parametrize("page", GOLDEN, ids=lambda page: page.stem)
def test_of_a_real_page_a_fraction_is_parsed(page: Path) -> None:
    text = page.read_text("utf-8").replace(" ~\n", " 1\n")  # values that are never the same

    assert facts(ours(text)) == facts(text) != []
    assert len(ours(text)) < len(text) / 3


async def test_a_page_beyond_reason_is_not_read() -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"# a\n" * (LARGEST_PAGE // 4 + 1))

    async with served(endless) as url:
        control = Control(url)
        with pytest.raises(Unavailable, match="more than 512 KiB"):
            await scrape(control)
        await control.close()


async def test_a_page_is_as_old_as_the_request_for_it() -> None:
    """It may have been written just before our lock ended, and have come just after."""

    measured: list[float] = []

    async def slow(peer: Peer) -> None:
        await peer.request()
        measured.append(time.monotonic())
        await asyncio.sleep(0.1)
        await peer.answer(b"dpl_lock_exclusive 1\n")

    async with served(slow) as url:
        control = Control(url)
        sample, _ = await scrape(control)
        await control.close()

    assert sample.exclusive
    assert sample.sampled_at is not None
    assert sample.sampled_at <= measured[0]
