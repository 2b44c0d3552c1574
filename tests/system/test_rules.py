"""The rules under the programs that read them, in every version that is here."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.versions import SUITES, Version, present, program

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
RULE_TESTS = sorted((ROOT / "prometheus" / "tests").glob("*_test.yml"))
FIRED = re.compile(r'Labels:\{.*alertname="(\w+)".*\}\s+Annotations:\{(.+)\}')
versions = pytest.mark.parametrize("version", present(), ids=lambda version: version.name)


def promtool(version: Version, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program(version, "promtool"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def said(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout + result.stderr


def documents() -> dict[str, Any]:
    return {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules without annotations beside their tests.

    promtool compares annotations too, so every test would have to repeat every text.
    """
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "rules").mkdir()
    (folder / "tests").mkdir()
    for name, document in documents().items():
        for group in document["groups"]:
            for rule in group["rules"]:
                rule.pop("annotations", None)
        (folder / "rules" / name).write_text(yaml.safe_dump(document, sort_keys=False))
    for path in RULE_TESTS:
        (folder / "tests" / path.name).write_text(path.read_text())
    return folder


def test_which_versions_read_the_rules_is_told(request: pytest.FixtureRequest) -> None:
    """A version that is not here is no failure, but nobody shall think that it was tried."""
    here = {version.name for version in present()}
    absent = [f"{what} (Debian {suite})" for suite, what in SUITES.items() if suite not in here]
    terminal: Any = request.config.pluginmanager.get_plugin("terminalreporter")
    if absent and terminal is not None:
        terminal.ensure_newline()
        terminal.write_line(f"not tried with {', '.join(absent)}: `make observability` fetches it")

    assert "ours" in here


@versions
def test_prometheus_takes_its_configuration_as_it_lies(version: Version) -> None:
    result = promtool(version, "check", "config", ROOT / "prometheus" / "prometheus.yml")

    assert result.returncode == 0, said(result)
    assert f"{len(RULES)} rule files found" in said(result)


@versions
def test_the_rules_pass_every_lint(version: Version) -> None:
    result = promtool(version, "check", "rules", "--lint=all", "--lint-fatal", *RULES)

    assert result.returncode == 0, said(result)


@versions
@pytest.mark.parametrize("name", [path.name for path in RULE_TESTS])
def test_the_rules_do_what_their_tests_say(bare: Path, name: str, version: Version) -> None:
    result = promtool(version, "test", "rules", bare / "tests" / name)

    assert result.returncode == 0, said(result)


def test_every_rule_file_has_a_test() -> None:
    tested = {
        Path(rules).name
        for path in RULE_TESTS
        for rules in yaml.safe_load(path.read_text())["rule_files"]
    }

    assert tested == {path.name for path in RULES}


def test_every_text_of_an_alert_comes_out_whole() -> None:
    """The tests expect no text, so promtool complains of each, and shows what it was."""
    texts = dict[str, set[str]]()
    for path in RULE_TESTS:
        result = promtool(present()[0], "test", "rules", path)
        for alert, text in FIRED.findall(said(result)):
            texts.setdefault(alert, set()).add(text)

    alerts = {
        rule["alert"]
        for document in documents().values()
        for group in document["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert texts.keys() == alerts
    wrong = [
        f"{alert}: {text}"
        for alert, found in texts.items()
        for text in found
        if re.search(r"no value|\{\{|<error|%!|  |dashboard_url=\"[^\"]* ", text)
    ]
    assert wrong == []
