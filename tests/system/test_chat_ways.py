"""The examples of other ways than mail, through a real Alertmanager: a template that is missing is
a message that is dropped, and nothing but the message tells."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.programs import ROOT
from tests.system.alerting import Called, Stage, alertmanager, read, stage, write
from tests.system.clock import sooner_routes
from tests.system.running import eventually

pytestmark = pytest.mark.system

SOON = 60.0
EXAMPLES = sorted((ROOT / "alertmanager/examples").glob("*.yml"))
BY_MAIL = {"mail", "quiet-nights"}
"""Tested with a mail server, or by its routes alone."""
ADDRESSES = {
    "discord": "webhook_url",
    "pagerduty": "url",
    "slack": "api_url",
    "telegram": "api_url",
    "webhook": "url",
}
"""Example -> the field that says where."""
SECRETS = ("api_url_file", "routing_key_file", "http_config")


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """What came after one alert, with all the ways in one receiver."""
    folder = tmp_path_factory.mktemp("ways")
    document = read("alertmanager/alertmanager.yml")
    document["templates"] = [str(ROOT / "alertmanager" / name) for name in document["templates"]]
    sooner_routes(document["route"])
    with stage() as outside:
        ways = {f"{name}_configs": [way(name, outside.address)] for name in ADDRESSES}
        document["receivers"] = [
            {"name": "ops", **ways} if each["name"] == "ops" else {"name": each["name"]}
            for each in document["receivers"]
        ]
        with alertmanager(folder, write(folder / "alertmanager.yml", document)) as manager:
            labels = {"alertname": "DplClockSkew", "node": "a", "severity": "warning"}
            said = {"summary": "The clock of a is off.", "description": "By 3 s."}
            alert = {"labels": labels, "annotations": said}
            httpx.post(f"http://{manager}/api/v2/alerts", json=[alert], timeout=10)
            yield outside


def way(name: str, outside: str) -> dict[str, Any]:
    """The example's own receiver; only its address is another, and no secret is read."""
    receivers = read(f"alertmanager/examples/{name}.yml")["receivers"]
    found: dict[str, Any] = next(
        each[f"{name}_configs"][0] for each in receivers if f"{name}_configs" in each
    )
    secrets = {"routing_key": "0" * 32} if "routing_key_file" in found else {}
    kept = {key: value for key, value in found.items() if key not in SECRETS}
    return {**kept, **secrets, ADDRESSES[name]: f"http://{outside}/{name}"}


def test_every_example_is_tried_here_or_by_mail() -> None:
    assert {file.stem for file in EXAMPLES} == ADDRESSES.keys() | BY_MAIL


@pytest.mark.parametrize("name", sorted(ADDRESSES))
def test_the_message_arrives_in_our_words(name: str, calls: Stage) -> None:
    def came() -> list[Called]:
        return [call for call in calls.calls if call.path.startswith(f"/{name}")]

    said = json.dumps(eventually(came, SOON)[0].body)

    assert "The clock of a is off." in said
    assert "By 3 s." in said
