"""`dpl query`: what Prometheus says, through the router."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from tests.router.cli.conftest import Run, Scripted

VECTOR = [
    {"metric": {"__name__": "dpl_gpu_power_watts", "node": "gpu-1"}, "value": [1.5, "220.4567891"]},
    {"metric": {"gpu": "0", "node": "mac\x1b[2J"}, "value": [1.5, "7"]},
]
MATRIX = [{"metric": {"node": "gpu-1"}, "values": [[1.0, "1"], [2.0, "4"], [3.0, "2.5"]]}]


def answer(kind: str, result: object, **more: object) -> bytes:
    data = {"resultType": kind, "result": result}
    return json.dumps({"status": "success", "data": data, **more}).encode()


def cells(line: str) -> list[str]:
    return line.split()


def test_each_label_is_a_column_and_the_value_is_the_last(dpl: Run, router: Scripted) -> None:
    router.body = answer("vector", VECTOR)

    done = dpl("query", "dpl_gpu_power_watts > 5", url=router.url)

    assert [cells(line) for line in done.stdout.splitlines()] == [
        ["SERIES", "GPU", "NODE", "VALUE"],
        ["dpl_gpu_power_watts", "-", "gpu-1", "220.457"],
        ["-", "0", "mac\\x1b[2J", "7"],
    ]
    [(path, _, _)] = router.asked
    assert path.startswith("/api/prometheus/query?")
    assert parse_qsl(urlsplit(path).query) == [("query", "dpl_gpu_power_watts > 5")]


@pytest.mark.parametrize(
    ("kind", "series", "row"),
    [
        ("vector", {"metric": {"a": "x"}, "histogram": [1.5, {"count": "1"}]}, ["x", "histogram"]),
        ("matrix", {"metric": {"a": "x"}, "histograms": [[1.5, {}]]}, ["x", *["histogram"] * 4]),
        ("matrix", {"metric": {"a": "x"}, "values": []}, ["x", "-", "-", "-", "-"]),
        ("vector", {"metric": {"a": "x\ny"}, "value": [1.5, "2"]}, [r"x\ny", "2"]),
    ],
)
def test_each_series_is_one_row_whatever_it_holds(
    dpl: Run, router: Scripted, kind: str, series: object, row: list[str]
) -> None:
    router.body = answer(kind, [series], warnings=None)

    _, line = dpl("query", "up", url=router.url).stdout.splitlines()

    assert cells(line) == row


def test_a_range_tells_least_mean_most_and_last(dpl: Run, router: Scripted) -> None:
    router.body = answer("matrix", MATRIX)

    done = dpl("query", "up", "--range", "1h", "--step", "5m", url=router.url)

    head, row = done.stdout.splitlines()
    assert cells(head) == ["NODE", "MIN", "MEAN", "MAX", "LAST"]
    assert cells(row) == ["gpu-1", "1", "2.5", "4", "2.5"]
    [(path, _, _)] = router.asked
    said = dict(parse_qsl(urlsplit(path).query))
    assert urlsplit(path).path == "/api/prometheus/query_range"
    assert said["step"] == "300"
    assert float(said["end"]) - float(said["start"]) == pytest.approx(3600)


@pytest.mark.parametrize(
    ("kind", "result", "said"),
    [("scalar", [1.5, "1795661992"], "1795661992\n"), ("string", [1.5, "hello"], "hello\n")],
)
def test_one_value_is_told_alone(
    dpl: Run, router: Scripted, kind: str, result: Any, said: str
) -> None:
    router.body = answer(kind, result)

    assert dpl("query", "time()", url=router.url).stdout == said


def test_data_is_what_prometheus_said(dpl: Run, router: Scripted) -> None:
    router.body = answer("vector", VECTOR)

    assert json.loads(dpl("query", "up", "-o", "json", url=router.url).stdout) == VECTOR
    assert yaml.safe_load(dpl("query", "up", "-o", "yaml", url=router.url).stdout) == VECTOR


def test_nothing_found_is_no_failure_and_is_said(dpl: Run, router: Scripted) -> None:
    router.body = answer("vector", [], warnings=["results may be cut"])

    done = dpl("query", "nobody", url=router.url)

    assert (done.returncode, done.stdout) == (0, "")
    assert "warning: results may be cut" in done.stderr
    assert "nothing has that name" in done.stderr
    assert '=~".*dpl_.+"' in done.stderr  # recorded series begin with their labels


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            400,
            {"status": "error", "error": 'invalid parameter "query": 1:5: parse error: bad'},
            'dpl: invalid parameter "query": 1:5: parse error: bad (URL, status 400); '
            "docs/promql.md has examples",
        ),
        (
            503,
            {"detail": "no Prometheus is configured; start the router with --prometheus-url"},
            "dpl: no Prometheus is configured; start the router with --prometheus-url "
            "(URL, status 503); `dpl up` starts one beside the router",
        ),
        (
            503,
            {"detail": "http://127.0.0.1:9090/api/v1/query cannot be reached: refused"},
            "`dpl stack start prometheus` starts it again",
        ),
        (200, {"status": "success"}, "did not answer as a DPL router does"),
        (200, {"data": {"resultType": "odd", "result": [{}]}}, "did not answer as a DPL router"),
        (200, {"data": {"resultType": "vector", "result": [{}]}}, "did not answer as a DPL router"),
        (200, ["else"], "did not answer as a DPL router does"),
    ],
)
def test_a_refusal_is_one_line_in_prometheus_own_words(
    dpl: Run, router: Scripted, status: int, body: object, said: str
) -> None:
    router.status, router.body = status, json.dumps(body).encode()

    done = dpl("query", "up{", url=router.url)

    assert done.returncode == 1
    assert said.replace("URL", router.url) in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("query",), 2, "Missing argument 'PROMQL'"),
        (("query", "up\udcff"), 2, "PROMQL is not UTF-8"),
        (("query", "up", "--step", "5s"), 2, "--step is for --range"),
        (("query", "up", "--range", "soon"), 2, "is no time"),
        (("query", "up", "--url", "http://127.0.0.1:1"), 1, "start one with `dpl up`"),
    ],
)
def test_a_mistake_is_one_line(dpl: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = dpl(*arguments)

    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
    assert said in done.stderr
