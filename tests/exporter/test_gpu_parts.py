"""What the GPU collectors share: energy, owners of processes, samples, families of two makes."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import pytest

from dpl_exporter.collectors.base import gauge, merged
from dpl_exporter.collectors.gpu_card import Card, Load, card_families
from dpl_exporter.collectors.gpu_energy import LONGEST_GAP, EnergyCount
from dpl_exporter.collectors.gpu_nvidia import NvidiaCollector, Reading
from dpl_exporter.collectors.gpu_nvidia_load import WINDOW, Busy
from dpl_exporter.collectors.gpu_processes import (
    OnGpu,
    Owners,
    by_pid,
    foreign_memory,
    is_model_server,
    is_server_name,
)
from dpl_exporter.collectors.nvml import Nvml
from dpl_exporter.errors import DriverFailed, Failed
from tests.exporter.values import by, values_of


def test_energy_over_a_gap_is_not_made_up() -> None:
    now = [0.0]
    energy = EnergyCount(lambda: now[0])
    energy.add("a", 100.0)
    now[0] = 10.0
    first = energy.add("a", 100.0)
    now[0] += LONGEST_GAP + 1
    after_gap = energy.add("a", 100.0)
    unknown = energy.add("a", None)

    assert (first, after_gap, unknown) == (1000.0, 1000.0, None)


def test_a_card_that_counts_for_itself_is_never_told_by_another_count() -> None:
    """The step from one to the other and back is a power of megawatts."""
    now = [0.0]
    energy = EnergyCount(lambda: now[0])
    told = []
    for counted in (5.000015e8, None, 5.000025e8):
        told.append(energy.one_count("a", counted, 100.0))
        now[0] += 5.0

    assert told == [5.000015e8, None, 5.000025e8]


def test_a_card_whose_power_was_counted_first_keeps_to_that() -> None:
    now = [0.0]
    energy = EnergyCount(lambda: now[0])
    told = []
    for counted in (None, 5e8, None):
        told.append(energy.one_count("a", counted, 100.0))
        now[0] += 5.0

    assert told == [0.0, 500.0, 1000.0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ollama", ["/usr/local/bin/ollama", "runner"]),
        ("VLLM::EngineCore", []),
        ("python3", ["/opt/venv/bin/python3", "/opt/venv/bin/vllm", "serve"]),
        ("python3", ["python3", "-m", "vllm.entrypoints.openai.api_server"]),
        ("python", ["python", "koboldcpp.py"]),
        ("python", ["python", "-m", "sglang.launch_server"]),
        ("llama-server.exe", ["C:\\llama\\llama-server.exe"]),
    ],
)
def test_a_model_server_is_known_by_its_program(name: str, words: Sequence[str]) -> None:
    assert is_server_name(name, words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("python3", ["python3", "train.py", "--model", "ollama"]),
        ("python3", ["python3", "/srv/vllm/notebook.py"]),
        ("Xorg", ["/usr/lib/xorg/Xorg", ":0"]),
        ("game", []),
    ],
)
def test_other_programs_are_not(name: str, words: Sequence[str]) -> None:
    assert not is_server_name(name, words[:3])


def test_a_process_that_is_gone_is_nobodys() -> None:
    assert is_model_server(2**31 - 2) is None


def test_our_own_model_server_is_one_whatever_it_is_called() -> None:
    owners = Owners(lambda: frozenset({7}), look=lambda _pid: False)

    assert owners.kinds([7, 8]) == {7: "llm", 8: "other"}


def test_a_process_is_looked_at_once_while_it_lives() -> None:
    looked: list[int] = []

    def look(pid: int) -> bool:
        looked.append(pid)
        return True

    owners = Owners(look=look)
    for pids in ([1, 2], [1, 2], [1], [2]):  # 2 is another one by then
        owners.kinds(pids)
        owners.settle()

    assert looked == [1, 2, 2]


def test_a_process_in_two_lists_counts_once() -> None:
    lists = ([OnGpu(1, 100), OnGpu(2, None)], [OnGpu(1, 100)])

    assert by_pid(lists) == {1: 100, 2: None}


def test_memory_of_others_is_unknown_where_one_is() -> None:
    kinds = {1: "other", 2: "other", 3: "llm"}

    assert foreign_memory({1: 5, 2: 6, 3: None}, kinds) == 11.0
    assert foreign_memory({1: 5, 2: None, 3: 1}, kinds) is None


def test_errors_that_were_reported_are_told_while_the_driver_fails_or_hangs() -> None:
    """For as long as it takes: the guard keeps the rest for 30 s only."""

    def gone() -> Reading:
        raise DriverFailed("nvmlDeviceGetCount: Uninitialized")

    xid = list(gauge("dpl_gpu_xid_last_timestamp_seconds", "x", 5.0))
    collector = NvidiaCollector(gone, lambda: xid)

    with pytest.raises(Failed, match="Uninitialized") as failure:
        collector.collect()
    assert list(failure.value.families) == xid
    assert list(collector.late()) == xid


class Binding:
    """The part of the binding that tells samples: (microseconds, percent)."""

    NVML_GPU_UTILIZATION_SAMPLES = 1
    NVMLError = RuntimeError

    def __init__(self) -> None:
        self.samples: list[tuple[int, int]] = []

    def nvmlInit(self) -> None:
        return

    def nvmlDeviceGetSamples(self, _handle: object, _kind: int, since: int) -> tuple[int, object]:
        told = [
            SimpleNamespace(timeStamp=at, sampleValue=SimpleNamespace(uiVal=percent))
            for at, percent in self.samples
            if at > since
        ]
        return 1, told


def test_utilisation_is_the_mean_since_the_last_page_and_of_five_seconds_at_least() -> None:
    """Else a second scraper would leave the first with a moment."""
    binding = Binding()
    nvml = Nvml(lambda: binding)
    nvml.open()
    busy = Busy()
    second = 1_000_000
    binding.samples = [(1 * second, 100), (11 * second, 20), (12 * second, 40)]
    first = busy.ratio(nvml, None, "a")
    again = busy.ratio(nvml, None, "a")
    binding.samples += [(13 * second, 60), (20 * second, 80)]
    later = busy.ratio(nvml, None, "a")
    binding.samples = []
    none = busy.ratio(nvml, None, "a")

    assert WINDOW / second == 5
    assert (first, again) == (0.3, 0.3)
    assert later == 0.7, "13 s to 20 s: more than the window, since no page came before"
    assert none is None


def card(index: str, about: Mapping[str, str], busy: float) -> Card:
    return Card(index=index, about=about, load=Load(busy=busy))


def test_two_makes_in_one_machine_are_one_family() -> None:
    """A page with two heads of one family is none to Prometheus."""
    nvidia = list(card_families([card("0", {"vendor": "nvidia"}, 0.5)]))
    amd = list(card_families([card("card1", {"vendor": "amd"}, 0.25)]))

    page = merged([*nvidia, *amd])

    assert len({family.name for family in page}) == len(page) == 2
    assert by(values_of(page), "dpl_gpu_utilization_ratio", "gpu") == {"0": 0.5, "card1": 0.25}
    assert by(values_of(nvidia), "dpl_gpu_utilization_ratio", "gpu") == {"0": 0.5}
