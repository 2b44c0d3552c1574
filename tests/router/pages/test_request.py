"""The page of a request, which Grafana's dots lead to."""

from pathlib import Path

from dpl_router.dispatch.recent import MOST, Recent, Told
from tests.fakes.openai import FakeOpenAi
from tests.fakes.router import running_router

ASK = {"model": "tiny", "stream": True, "messages": [{"role": "user", "content": "a secret"}]}
OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0"}


async def test_an_exemplar_leads_to_what_became_of_its_request(tmp_path: Path) -> None:
    with FakeOpenAi() as node:
        async with running_router({"a": node.url}, folder=tmp_path) as up, up.client() as client:
            await client.post("/v1/chat/completions", json=ASK, headers={"x-request-id": "one"})
            metrics = await client.get("/metrics", headers=OPENMETRICS)
            page = await client.get("/requests/one")
            other = await client.get("/requests/<script>")

    assert 'request_id="one"' in metrics.text
    assert page.status_code == 200
    for words in ("tiny", "a (reason: only)", "Ended as", "ok", "First token after"):
        assert words in page.text
    assert "a secret" not in page.text
    assert other.status_code == 404
    assert "Nothing is kept of it" in other.text
    assert "<script>" not in other.text.partition("<main")[2]


def test_the_oldest_are_forgotten_and_the_last_of_one_id_is_kept() -> None:
    recent = Recent()
    for number in range(MOST + 5):
        recent.add(told(str(number), "first"))
    recent.add(told("10", "second"))

    assert recent.get("4") is None
    assert (kept := recent.get("10")) is not None
    assert kept.node == "second"
    assert recent.get("5") is not None


def told(id_: str, node: str) -> Told:
    return Told(id_, 0.0, "m", "m", node, "only", 1, 0.0, 0.1, 0.2, 5, "ok")
