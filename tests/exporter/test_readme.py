"""The README and the program say the same."""

import json
import re
import shlex
from pathlib import Path

import dpl_exporter
from dpl_exporter.collectors import BACKENDS, COLLECTORS
from tests.exporter.process import run, running

PACKAGE = Path(dpl_exporter.__file__).parent
README = (PACKAGE.parent / "README.md").read_text()


def test_every_flag_and_variable_of_help_is_in_the_readme_and_the_other_way_round(
    tmp_path: Path,
) -> None:
    _, text, _ = run(tmp_path, "--help")
    generic = re.sub(r"collector\.[a-z]+", "collector.NAME", text)
    generic = re.sub(r"DPL_COLLECTOR_[A-Z]+", "DPL_COLLECTOR_NAME", generic)
    own = set(re.findall(r"--[a-z][a-zA-Z.-]+", generic)) - {"--help"}
    table = "\n".join(line for line in README.splitlines() if line.startswith("| `--"))

    assert own == set(re.findall(r"--[a-z][a-zA-Z.-]+", table)) - {"--help"}
    for variable in re.findall(r"\b(?:DPL|OLLAMA)_[A-Z_]+\b", generic):
        assert f"`{variable}" in table


def test_every_variable_that_the_code_reads_is_in_the_readme() -> None:
    code = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))

    for variable in re.findall(r'"((?:DPL|OLLAMA|HF)_[A-Z_]+[A-Z])"', code):
        assert variable in README


def test_every_collector_and_backend_is_in_the_readme() -> None:
    for name in (*COLLECTORS, *BACKENDS):
        assert f"`{name}`" in README


def test_the_lease_examples_work_as_they_stand(tmp_path: Path) -> None:
    """Each curl line as the body of a call; the token is the one that was granted."""
    lines = [line for line in README.splitlines() if re.match(r"curl .*/(un)?lock", line)]
    token = ""
    with running(tmp_path, "--llm-url", "http://127.0.0.1:9") as exporter:
        for line in lines:
            words = shlex.split(line)
            path = next(word for word in words if word.startswith("http")).partition(":8001")[2]
            body = words[words.index("-d") + 1] if "-d" in words else ""
            body = re.sub(r'"token": \d+', f'"token": {token}', body)
            answer = exporter.call("POST", path, body.encode())
            assert answer.status == 200, (line, answer.body)
            token = str(json.loads(answer.body).get("token", token))

    assert len(lines) == 5
