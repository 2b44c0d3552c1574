"""Alertmanager's files under the program that reads them, in every version that is here."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.contract.routes import Route, read_routes
from tests.versions import Version, present, program

pytestmark = pytest.mark.system

FOLDER = Path(__file__).parents[2] / "alertmanager"
OURS = FOLDER / "alertmanager.yml"
EXAMPLES = sorted((FOLDER / "examples").glob("*.yml"))
versions = pytest.mark.parametrize("version", present(), ids=lambda version: version.name)


def amtool(version: Version, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program(version, "amtool"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@versions
@pytest.mark.parametrize("file", [OURS, *EXAMPLES], ids=lambda file: file.stem)
def test_alertmanager_takes_the_file_as_it_lies(file: Path, version: Version) -> None:
    result = amtool(version, "check-config", file)

    assert result.returncode == 0, result.stdout + result.stderr


@versions
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_fits_into_our_file(file: Path, version: Version, tmp_path: Path) -> None:
    """Its receivers in the place of ours, its routes before ours, as its first line says."""
    document = yaml.safe_load(OURS.read_text(encoding="utf-8"))
    example = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["global"] |= example.get("global", {})
    document["time_intervals"] += example.get("time_intervals", [])
    document["route"]["routes"] = example["route"].get("routes", []) + document["route"]["routes"]
    receivers = {each["name"]: each for each in document["receivers"] + example["receivers"]}
    document["receivers"] = list(receivers.values())
    document["templates"] = [str(FOLDER / name) for name in document["templates"]]
    merged = tmp_path / "alertmanager.yml"
    merged.write_text(yaml.safe_dump(document), encoding="utf-8")

    result = amtool(version, "check-config", merged)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("route", read_routes(), ids=lambda route: route.name)
def test_an_alert_reaches_whom_it_should(route: Route) -> None:
    result = amtool(
        present()[-1],
        "config",
        "routes",
        "test",
        f"--config.file={OURS}",
        f"--verify.receivers={route.receivers}",
        *(f"{name}={value}" for name, value in route.labels.items()),
    )

    assert result.returncode == 0, result.stdout + result.stderr


def test_nothing_complains_about_mail_that_nobody_set() -> None:
    """A mail receiver without a server would fail at each alert and raise one itself."""
    document = yaml.safe_load(OURS.read_text(encoding="utf-8"))

    assert [word for word in document["global"] if word.startswith("smtp")] == []
    assert [receiver for receiver in document["receivers"] if "email_configs" in receiver] == []
