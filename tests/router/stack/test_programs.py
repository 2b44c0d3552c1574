"""Programs and weights: found, or fetched without touching the system."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dpl_router.stack.programs import Programs, find_programs, find_weights

APT = """
import pathlib, sys
here = pathlib.Path(__file__).parent
lists = here / "lists"
(here / "calls").open("a").write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "update":
    lists.touch()
elif lists.exists():
    pathlib.Path("prometheus_2.42_amd64.deb").touch()
else:
    sys.exit("E: Can't select candidate version from package prometheus")
"""
DPKG = """
import pathlib, sys
target = pathlib.Path(sys.argv[3]) / "usr/bin"
target.mkdir(parents=True)
for name in ("prometheus", "promtool", "prometheus-alertmanager", "amtool"):
    (target / name).write_text("#!/bin/sh\\n: reads /usr/share/prometheus/alertmanager/x.tmpl\\n")
    (target / name).chmod(0o755)
templates = pathlib.Path(sys.argv[3]) / "usr/share/prometheus/alertmanager"
templates.mkdir(parents=True)
(templates / "x.tmpl").touch()
"""


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!{sys.executable}\n{text}")
    (folder / name).chmod(0o755)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """With weights, so that nothing is downloaded."""
    (tmp_path / "parts/weights/some").mkdir(parents=True)
    (tmp_path / "parts/weights/some/model.gguf").touch()
    return tmp_path / "parts"


def fetch(parts: Path, path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dpl_router", "stack", "fetch", "--parts-dir", str(parts)]
    return subprocess.run(
        [*command, *flags],
        env={**os.environ, "PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_programs_are_found_under_debians_names_too(tmp_path: Path) -> None:
    for name in ("prometheus", "promtool", "amtool"):
        program(tmp_path / "path", name, "")
    program(tmp_path / "path", "prometheus-alertmanager", "")

    found = find_programs(tmp_path / "parts", str(tmp_path / "path"))

    assert found == Programs(
        prometheus=tmp_path / "path/prometheus",
        promtool=tmp_path / "path/promtool",
        alertmanager=tmp_path / "path/prometheus-alertmanager",
        amtool=tmp_path / "path/amtool",
    )
    assert found.complete


def test_what_is_missing_is_downloaded_and_unpacked_once(tmp_path: Path, parts: Path) -> None:
    path = tmp_path / "path"
    program(path, "apt-get", APT)
    program(path, "dpkg", DPKG)
    (path / "lists").touch()

    first, second = fetch(parts, path), fetch(parts, path)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "fetching Prometheus" in first.stderr
    assert second.stderr == ""
    assert find_programs(parts, str(path)).complete
    assert (path / "calls").read_text().count("download") == 1
    assert sorted(child.name for child in parts.iterdir()) == ["usr", "weights"]


def test_an_alertmanager_that_was_fetched_finds_its_templates(tmp_path: Path, parts: Path) -> None:
    """Debian's looks for them where only root can put them."""
    path = tmp_path / "path"
    program(path, "apt-get", APT)
    program(path, "dpkg", DPKG)
    (path / "lists").touch()

    fetch(parts, path)

    text = (parts / "usr/bin/prometheus-alertmanager").read_text()
    (found,) = [word for word in text.split() if word.endswith("x.tmpl")]
    assert len(found) == len("/usr/share/prometheus/alertmanager/x.tmpl")
    assert (parts / "usr/share/prometheus/alertmanager" / found).is_file()
    assert "prometheus-alertmanager" in (parts / "usr/bin/alertmanager").read_text()


def test_missing_package_lists_are_made_by_root_or_told(tmp_path: Path, parts: Path) -> None:
    path = tmp_path / "path"
    program(path, "apt-get", APT)
    program(path, "dpkg", DPKG)

    done = fetch(parts, path)

    if os.geteuid() == 0:
        assert done.returncode == 0, done.stderr
        assert "update -qq" in (path / "calls").read_text()
    else:
        assert done.returncode == 1
        assert "sudo apt-get update" in done.stderr


def test_elsewhere_it_is_said_what_to_install(tmp_path: Path, parts: Path) -> None:
    program(tmp_path / "path", "dnf", "")

    done = fetch(parts, tmp_path / "path")

    assert done.returncode == 1
    assert "sudo dnf install golang-github-prometheus" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_browser_it_is_said_what_to_install(tmp_path: Path, parts: Path) -> None:
    for name in ("prometheus", "promtool", "alertmanager", "amtool"):
        program(tmp_path / "path", name, "")

    done = fetch(parts, tmp_path / "path", "--browser")

    assert done.returncode == 1
    assert "chromium" in done.stderr
    assert done.stderr.count("\n") == 1


def test_weights_are_found_wherever_the_wheel_has_them(parts: Path, tmp_path: Path) -> None:
    assert find_weights(parts) == parts / "weights/some/model.gguf"
    assert find_weights(tmp_path / "nothing") is None
