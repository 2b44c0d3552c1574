"""/status: the same readings as /metrics, as the seed wrote them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Metric

from dpl_exporter.collectors.base import counters, gauge, gauges
from dpl_exporter.collectors.models import Model, model_families
from dpl_exporter.status import Readings, Series, current_model, status_document
from dpl_exporter.throughput import LEAST, Throughput

FREE: dict[str, object] = {"owner": None, "holders": [], "slots": 4, "slots_free": 4}


def cpu(user: float, idle: float) -> list[Metric]:
    values: dict[str, float | None] = {"user": user, "idle": idle, "iowait": 0.0}
    return list(counters("dpl_node_cpu_seconds_total", "x", "mode", values))


def test_percentages_go_to_a_hundred() -> None:
    throughput = Throughput[Series]()
    throughput.add(0.0, Readings(cpu(10.0, 100.0)).totals())
    readings = Readings(
        [
            *cpu(13.0, 107.0),
            *gauge("dpl_node_memory_total_bytes", "x", 200.0),
            *gauge("dpl_node_memory_available_bytes", "x", 50.0),
        ]
    )

    document = status_document(readings, throughput.rates(5.0, readings.totals()), FREE, None)

    assert document["cpu"] == {"percent": 30.0, "count": None, "load1": None}
    assert document["memory"] == {"percent": 75.0, "total_bytes": 200.0, "available_bytes": 50.0}
    assert document["gpu"] == []
    assert document["locked"] is False


def test_the_load_is_not_known_where_the_rate_of_one_mode_is_not() -> None:
    throughput = Throughput[Series]()
    throughput.add(0.0, Readings(cpu(10.0, 100.0)).totals())
    readings = Readings(cpu(13.0, 7.0))

    document = status_document(readings, throughput.rates(5.0, readings.totals()), FREE, None)

    assert document["cpu"] == {"percent": None, "count": None, "load1": None}


def test_what_is_not_known_is_null() -> None:
    document = status_document(Readings([]), {}, FREE, None)

    assert document["cpu"] == {"percent": None, "count": None, "load1": None}
    assert document["model"] is None
    assert document["network"] == {
        "receive_bytes_per_second": None,
        "transmit_bytes_per_second": None,
    }
    assert document["disk"] == {"read_bytes_per_second": None, "written_bytes_per_second": None}
    assert document["llm"] == {"up": False, "backend": None}


def test_throughput_is_made_of_two_snapshots_over_all_devices() -> None:
    def net(eth0: float, eth1: float) -> Readings:
        devices: dict[str, float | None] = {"eth0": eth0, "eth1": eth1}
        return Readings(counters("dpl_node_network_receive_bytes_total", "x", "device", devices))

    throughput = Throughput[Series]()
    throughput.add(0.0, net(0.0, 100.0).totals())
    later = net(50.0, 250.0)

    document = status_document(later, throughput.rates(2.0, later.totals()), FREE, None)

    assert document["network"] == {
        "receive_bytes_per_second": 100.0,
        "transmit_bytes_per_second": None,
    }


def test_a_card_that_comes_back_makes_no_rate_of_what_it_had_counted_before() -> None:
    """Its total of five years, over five seconds, was 200 GB a second."""

    def net(**devices: float | None) -> Readings:
        return Readings(counters("dpl_node_network_receive_bytes_total", "x", "device", devices))

    throughput = Throughput[Series]()
    throughput.add(0.0, net(eth0=100.0).totals())
    later = net(eth0=150.0, eth1=1e12)

    document = status_document(later, throughput.rates(5.0, later.totals()), FREE, None)

    assert document["network"] == {
        "receive_bytes_per_second": 10.0,
        "transmit_bytes_per_second": None,
    }


def test_snapshots_that_are_too_close_make_no_rate() -> None:
    throughput = Throughput[str]()
    throughput.add(0.0, {"a": 0.0})
    throughput.add(0.1, {"a": 5.0})

    assert throughput.rates(LEAST / 2, {"a": 6.0}) == {"a": None}
    assert throughput.rates(2.0, {"a": 6.0}) == {"a": 3.0}


def test_the_newest_snapshot_that_is_old_enough_counts() -> None:
    throughput = Throughput[str]()
    for second in range(20):
        throughput.add(float(second), {"a": 10.0 * second})

    assert throughput.rates(19.5, {"a": 200.0}) == {"a": 20.0 / 1.5}


def test_a_snapshot_that_comes_in_between_disturbs_no_rate() -> None:
    """A scrape and /status run on threads of their own."""
    throughput = Throughput[str]()
    throughput.add(0.0, {"a": 0.0})
    throughput.add(9.5, {"a": 95.0})

    class Meanwhile(float):
        def __sub__(self, other: float) -> float:
            throughput.add(float(self) + 5.0, {"a": 500.0})
            return float(self) - other

    assert throughput.rates(Meanwhile(10.0), {"a": 100.0}) == {"a": 10.0}


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1e12)), max_size=20))
def test_a_rate_is_never_negative(steps: list[tuple[float, float]]) -> None:
    throughput = Throughput[str]()
    now = 0.0
    for pause, total in steps:
        now += pause
        rate = throughput.rates(now, {"a": total})["a"]
        throughput.add(now, {"a": total})

        assert rate is None or rate >= 0.0


def test_a_reading_is_looked_up_by_its_whole_name() -> None:
    readings = Readings(
        [
            *gauge("dpl_node_load1", "x", 1.0),
            *gauge("dpl_node_load15", "x", 15.0),
            *counters("dpl_node_disk_read_bytes_total", "x", "device", {"a": 2.0, "b": 3.0}),
        ]
    )

    assert readings.value("dpl_node_load1") == 1.0
    assert readings.value("dpl_node_load15") == 15.0
    assert readings.value("dpl_node_load") is None
    assert readings.value("dpl_node_disk_read_bytes_total") == 5.0
    assert readings.by("dpl_node_disk_read_bytes_total", "device") == {"a": 2.0, "b": 3.0}


def models(**loaded: bool) -> Readings:
    found = [Model(name, on) for name, on in loaded.items()]
    return Readings(model_families("ollama", found))


def test_the_current_model_is_the_preferred_one_else_a_loaded_one_else_the_first() -> None:
    assert current_model(models(a=False, b=True, c=False), "c") == "c"
    assert current_model(models(a=False, b=True, c=False), "elsewhere") == "b"
    assert current_model(models(b=False, a=False), None) == "a"
    assert current_model(models(), "c") is None


def test_the_preferred_model_may_lack_its_tag() -> None:
    readings = Readings(gauges("dpl_llm_model_loaded", "x", "model", {"qwen:latest": 0.0}))

    assert current_model(readings, "qwen") == "qwen:latest"
