"""The rules and the two configurations under the programs that read them."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.fakes.programs import find_program

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
RULE_TESTS = sorted((ROOT / "prometheus" / "tests").glob("*_test.yml"))

# The receivers that an alert reaches, in order, and its labels.
ROUTES = """
router-heartbeat   alertname=DplWatchdog severity=none scope=meta route=watchdog
router-actions,ops alertname=DplGpuXidCritical severity=critical scope=gpu action=cordon node=a
router-actions,ops alertname=DplGpuMissing severity=critical scope=gpu action=cordon node=a
router-actions,ops alertname=DplGpuRecoveryNeeded severity=critical scope=gpu action=drain node=a
ops                alertname=DplNodeDown severity=critical scope=node node=a
ops                alertname=DplNodeFlapping severity=warning scope=node node=a
ops                alertname=DplLlmDown severity=critical scope=node node=a backend=unknown
ops                alertname=DplModelWithoutCapacity severity=critical scope=slo model=m
ops                alertname=DplRouterFallbackMode severity=warning scope=router
ops                alertname=DplBatchStalled severity=warning scope=batch job_id=j
nobody             alertname=DplNodeSlowOutlier severity=info scope=node node=a model=m
nobody             alertname=DplLockContention severity=info scope=router
"""


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find_program(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def said(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules without annotations beside their tests.

    promtool compares annotations too, so every test would have to repeat every text.
    """
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "rules").mkdir()
    (folder / "tests").mkdir()
    for path in RULES:
        document = yaml.safe_load(path.read_text())
        for group in document["groups"]:
            for rule in group["rules"]:
                rule.pop("annotations", None)
        (folder / "rules" / path.name).write_text(yaml.safe_dump(document, sort_keys=False))
    for path in RULE_TESTS:
        (folder / "tests" / path.name).write_text(path.read_text())
    return folder


def test_prometheus_takes_its_configuration_as_it_lies() -> None:
    result = run("promtool", "check", "config", ROOT / "prometheus" / "prometheus.yml")

    assert result.returncode == 0, said(result)
    assert f"{len(RULES)} rule files found" in said(result)


def test_the_rules_pass_every_lint() -> None:
    result = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES)

    assert result.returncode == 0, said(result)


@pytest.mark.parametrize("name", [path.name for path in RULE_TESTS])
def test_the_rules_do_what_their_tests_say(bare: Path, name: str) -> None:
    result = run("promtool", "test", "rules", bare / "tests" / name)

    assert result.returncode == 0, said(result)


def test_every_rule_file_has_a_test() -> None:
    tested = {
        Path(rules).name
        for path in RULE_TESTS
        for rules in yaml.safe_load(path.read_text())["rule_files"]
    }

    assert tested == {path.name for path in RULES}


def test_every_alert_says_what_is_wrong_and_what_it_means() -> None:
    silent = [
        rule["alert"]
        for path in RULES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule and not {"summary", "description"} <= rule["annotations"].keys()
    ]

    assert silent == []


def test_alertmanager_takes_its_configuration_as_it_lies() -> None:
    result = run("amtool", "check-config", ROOT / "alertmanager" / "alertmanager.yml")

    assert result.returncode == 0, said(result)
    assert "1 templates" in said(result)


@pytest.mark.parametrize("line", ROUTES.strip().splitlines())
def test_an_alert_reaches_whom_it_should(line: str) -> None:
    receivers, *labels = line.split()
    result = run(
        "amtool",
        "config",
        "routes",
        "test",
        f"--config.file={ROOT / 'alertmanager' / 'alertmanager.yml'}",
        f"--verify.receivers={receivers}",
        *labels,
    )

    assert result.returncode == 0, said(result)


def test_nothing_complains_about_mail_that_nobody_set() -> None:
    """A mail receiver without a server would fail at each alert and raise one itself."""
    document = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())

    assert [word for word in document["global"] if word.startswith("smtp")] == []
    assert [receiver for receiver in document["receivers"] if "email_configs" in receiver] == []
