"""A real exporter on each platform and beside each LLM server says what it said before."""

import inspect
import re
import subprocess
from pathlib import Path

import pytest

from dpl_exporter.collectors import gpu_card, models
from tests.exporter.golden import CURE, FOLDER, differences, masked, page_of
from tests.exporter.gpu_platforms import PLATFORMS
from tests.exporter.llm_servers import SERVERS
from tests.fakes.programs import find_program


@pytest.mark.parametrize("platform", [*PLATFORMS, *SERVERS])
def test_a_platform_says_what_its_golden_page_says(platform: str, tmp_path: Path) -> None:
    """`python -m tests.exporter.golden` writes them anew."""
    page = page_of(platform, tmp_path)
    checked = subprocess.run(
        [find_program("promtool"), "check", "metrics"],
        input=page,
        text=True,
        capture_output=True,
        timeout=30,
    )

    golden = (FOLDER / f"{platform}.prom").read_text("utf-8").splitlines()
    found = differences(golden, masked(page))
    assert not found, "\n".join([f"the page of {platform} has changed", *found, CURE])
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_every_golden_page_belongs_to_a_platform() -> None:
    assert {file.stem for file in FOLDER.glob("*.prom")} == {*PLATFORMS, *SERVERS}


def test_every_metric_of_a_gpu_or_a_model_stands_on_a_golden_page() -> None:
    """Else nothing would prove that it is ever told. What rules may name is read from them."""
    pages = "\n".join(file.read_text("utf-8") for file in FOLDER.glob("*.prom"))
    missing = [
        name for name in (*_names(), "dpl_gpu_xid_errors_total") if f"\n{name}{{" not in pages
    ]

    assert missing == []


def _names() -> list[str]:
    gpu = re.findall(r'^\s+\(?"(dpl_gpu_\w+)"', inspect.getsource(gpu_card), re.MULTILINE)
    return [*gpu, "dpl_llm_model_info", *(f"dpl_llm_{name}" for name, _, _ in models.VALUES)]


def test_a_changed_value_of_a_gpu_and_a_new_series_are_differences() -> None:
    golden = ['dpl_gpu_power_watts{gpu="0"} 1.0', "dpl_node_load1 ~", "dpl_node_disk_x ~"]
    page = 'dpl_gpu_power_watts{gpu="0"} 2.0\ndpl_node_load1 0.5\ndpl_node_new 1.0'

    assert differences(golden, masked(page)) == [
        '- dpl_gpu_power_watts{gpu="0"} 1.0',
        '+ dpl_gpu_power_watts{gpu="0"} 2.0',
        "+ dpl_node_new ~",
    ]
