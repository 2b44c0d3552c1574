"""`dpl config` and `dpl sd`."""

import json
import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from dpl_router.cli.config import config
from dpl_router.cli.sd import sd
from dpl_router.inventory.mistakes import InventoryError
from tests.router.inventory.files import GOOD, node


def written(folder: Path, text: str) -> str:
    path = folder / "nodes.yaml"
    path.write_text(text)
    return str(path)


def test_a_right_file_is_told_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(config, ["check", written(tmp_path, GOOD)])

    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path}/nodes.yaml: 2 nodes, no mistakes\n"


def test_a_wrong_file_ends_with_2_and_all_mistakes_on_stderr(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("labels", "lables").replace("none", "ftp://x"))

    result = CliRunner().invoke(config, ["check"], env={"DPL_NODES_FILE": path})

    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 2
    assert f'{path}:6:5 nodes[0].lables unknown field; did you mean "labels"?' in result.stderr


def test_which_file_was_checked_is_told_by_its_whole_path(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dpl_router", "config", "check"]
    clean = {name: word for name, word in os.environ.items() if not name.startswith("DPL_")}
    told = []
    for text in (GOOD, GOOD.replace("labels", "lables")):
        written(tmp_path, text)
        told.append(
            subprocess.run(
                command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=60
            )
        )

    assert told[0].stdout.startswith(f"{tmp_path}/nodes.yaml: ")
    assert told[1].stderr.startswith(f"{tmp_path}/nodes.yaml:6:5 ")


def test_json_and_github_are_data_on_stdout(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("labels", "lables"))

    as_json = CliRunner().invoke(config, ["check", path, "--format", "json"])
    as_github = CliRunner().invoke(config, ["check", path, "--format", "github"])

    assert (as_json.exit_code, as_github.exit_code) == (2, 2)
    assert json.loads(as_json.stdout)["mistakes"][0]["line"] == 6
    assert as_github.stdout.startswith(f"::error file={path},line=6,col=5::nodes[0].lables")


def test_a_right_file_is_ok_in_json(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("/llm", "/llm/v1"))

    told = json.loads(CliRunner().invoke(config, ["check", path, "--format", "json"]).stdout)

    assert told["ok"] is True
    assert len(told["notes"]) == 1


def test_sd_prints_what_file_sd_reads(tmp_path: Path) -> None:
    result = CliRunner().invoke(sd, ["--nodes", written(tmp_path, GOOD), "--format", "file_sd"])

    assert json.loads(result.stdout)[0]["targets"] == ["10.0.0.5:8001"]


def test_sd_says_whose_models_it_cannot_know(tmp_path: Path) -> None:
    text = node("kind: llamacpp\n    metrics: {engine: 'h:1'}")
    result = CliRunner().invoke(sd, ["llamacpp", "--nodes", written(tmp_path, text)])
    named = node("kind: llamacpp\n    models: [m]\n    metrics: {engine: 'h:1'}")
    told = CliRunner().invoke(sd, ["llamacpp", "--nodes", written(tmp_path, named)])

    assert json.loads(result.stdout)[0]["labels"]["backend"] == "llamacpp"
    assert "a: its metrics name no model" in result.stderr
    assert json.loads(told.stdout)[0]["labels"]["model"] == "m"
    assert told.stderr == ""


def test_sd_refuses_a_wrong_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(sd, ["--nodes", str(tmp_path / "missing.yaml")])

    assert isinstance(result.exception, InventoryError)


def test_the_verbs_load_nothing_heavy_before_they_run() -> None:
    """Otherwise `dpl --help` is slow."""
    code = (
        "import sys, dpl_router.cli.config, dpl_router.cli.sd, dpl_router.cli.key;"
        "sys.exit(bool({'litestar', 'httpx', 'msgspec', 'jsonschema', 'yaml'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
