"""The real exporter as a process: start and end, a hanging LLM server, kill -9 under load."""

import http.client
import json
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.exporter.process import Running, run, running
from tests.exporter.values import Values, by, labels, only, values_on
from tests.fakes.llm_status import (
    Said,
    black_hole,
    llamacpp_answers,
    ollama_answers,
    say,
    status_server,
)
from tests.fakes.programs import find_program

CALLERS = 32
CAPACITY = 4
NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_and_without_a_traceback(
    tmp_path: Path, number: signal.Signals
) -> None:
    with black_hole() as llm, running(tmp_path, "--llm-url", llm) as exporter:
        threading.Thread(target=_scrape, args=(exporter,), daemon=True).start()
        exporter.process.send_signal(number)
        _, err = exporter.process.communicate(timeout=10)

    assert exporter.process.returncode == 0
    assert "Traceback" not in err


def _scrape(exporter: Running) -> None:
    try:
        exporter.metrics()
    except (OSError, http.client.HTTPException):
        return


def test_a_port_in_use_is_one_line_and_2(tmp_path: Path) -> None:
    with running(tmp_path, "--llm-url", NOWHERE) as exporter:
        taken = exporter.url.removeprefix("http://")
        status, out, err = run(tmp_path, "--listen", taken, "--llm-url", NOWHERE)

    (line,) = [line for line in err.splitlines() if line.startswith("dpl-exporter: ")]
    assert (status, out) == (2, "")
    assert taken in line
    assert "--listen" in line
    assert "Traceback" not in err


def test_an_address_of_another_machine_is_one_line_and_2(tmp_path: Path) -> None:
    status, _, err = run(
        tmp_path, "--listen", "192.0.2.1:8001", "--insecure-open", "--llm-url", NOWHERE
    )

    assert status == 2
    assert "cannot listen on 192.0.2.1:8001" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".lan"])
def test_a_name_that_cannot_be_one_is_one_line_and_2(tmp_path: Path, host: str) -> None:
    listen = f"{host}:8001"
    status, _, err = run(tmp_path, "--listen", listen, "--insecure-open", "--llm-url", NOWHERE)

    (line,) = [line for line in err.splitlines() if line.startswith("dpl-exporter: ")]
    assert status == 2
    assert f"cannot listen on {listen}: " in line
    assert "--listen" in line
    assert "Traceback" not in err


def test_a_black_holed_llm_server_is_told_as_down_and_hides_nothing(tmp_path: Path) -> None:
    with black_hole() as llm, running(tmp_path, "--llm-url", llm) as exporter:
        pages = [exporter.page(frozenset({"llm"})) for _ in range(3)]
        status = exporter.call("GET", "/status").json()
        passed = exporter.call("GET", "/metrics/ollama")

    for values in pages:
        assert values["dpl_llm_up"] == {labels(backend="unknown"): 0.0}
        health = by(values, "dpl_exporter_collector_success", "collector")
        assert health.pop("llm") == 0.0
        assert set(health.values()) == {1.0}
        assert {"cpu", "memory", "machine", "lease", "build", "filesystem"} <= health.keys()
        assert only(values, "dpl_node_memory_total_bytes") > 0
        assert only(values, "dpl_node_slots") == 4.0
    assert status["llm"] == {"up": False, "backend": "unknown"}
    assert passed.status == 503


def test_a_server_that_begins_to_hang_is_down_at_once_and_its_models_stay_a_while(
    tmp_path: Path,
) -> None:
    with (
        status_server(ollama_answers()) as llm,
        running(tmp_path, "--llm-url", llm.url) as exporter,
    ):
        before = exporter.page()
        llm.answers.clear()
        llm.otherwise = say({}, 503)
        after = exporter.page(frozenset({"llm_ollama"}))

    assert only(before, "dpl_llm_up") == 1.0
    assert after["dpl_llm_up"] == {labels(backend="ollama"): 0.0}
    assert after["dpl_llm_model_loaded"] == before["dpl_llm_model_loaded"]
    last = "dpl_exporter_collector_last_success_timestamp_seconds"
    assert by(after, last, "collector")["llm_ollama"] == by(before, last, "collector")["llm_ollama"]


@pytest.mark.parametrize("answers", [llamacpp_answers, ollama_answers])
def test_a_real_page_passes_promtool_and_its_budgets(
    tmp_path: Path, answers: Callable[[], dict[str, Said]]
) -> None:
    with status_server(answers()) as llm, running(tmp_path, "--llm-url", llm.url) as exporter:
        exporter.call("POST", "/lock", b'{"owner": "a", "ttl_seconds": 60}')
        exporter.page()
        page = exporter.metrics()
        memory = psutil.Process(exporter.process.pid).memory_info().rss
    checked = subprocess.run(
        [find_program("promtool"), "check", "metrics"],
        input=page,
        text=True,
        capture_output=True,
        timeout=30,
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert series(values_on(page)) < 200
    assert memory < 48 * 2**20


def test_twenty_models_stay_under_400_series(tmp_path: Path) -> None:
    digests = [f"{i:064x}" for i in range(20)]
    models = [
        {
            "name": f"model-{i}:latest",
            "digest": digest,
            "size": 1,
            "size_vram": 1,
            "context_length": 4096,
            "expires_at": "2026-11-25T18:23:36.5Z",
        }
        for i, digest in enumerate(digests)
    ]
    answers = ollama_answers() | {
        "/api/tags": say({"models": models}),
        "/api/ps": say({"models": models[:3]}),
    }
    with status_server(answers) as llm, running(tmp_path, "--llm-url", llm.url) as exporter:
        values = exporter.page()

    assert len(values["dpl_llm_model_loaded"]) == 20
    assert series(values) < 400


def series(values: Values) -> int:
    return sum(len(one) for one in values.values())


def test_the_ready_line_tells_the_port_that_was_free(tmp_path: Path) -> None:
    with running(tmp_path, "--llm-url", NOWHERE) as exporter:
        assert exporter.url.startswith("http://127.0.0.1:")
        assert exporter.call("GET", "/-/ready").status == 200


def test_without_a_writable_data_dir_it_serves_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    flags = ("--llm-url", NOWHERE, "--data-dir", str(tmp_path / "file"))
    with running(tmp_path, *flags) as exporter:
        locked = exporter.call("POST", "/lock")
        values = exporter.page(frozenset({"llm"}))

    assert locked.status == 200
    assert only(values, "dpl_lock_state_persistent") == 0.0


@dataclass(frozen=True, slots=True)
class Held:
    """A lease as its holder saw it: surely held from `since` to `until` (monotonic)."""

    token: int
    slots: int
    exclusive: bool
    asked: float
    since: float
    until: float


@dataclass
class Fleet:
    """32 callers against one address, over the deaths of who serves it."""

    url: str
    kills: list[float] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    serving: threading.Event = field(default_factory=threading.Event)
    """Nobody calls a closed port again and again: on loopback one would meet oneself in the end."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def caller(self, number: int) -> None:
        dice = random.Random(number)
        while not self.stop.is_set():
            ask = {
                "owner": f"caller-{number}",
                "ttl_seconds": 60,
                "slots": dice.randint(1, 3),
                "exclusive": dice.random() < 0.2,
            }
            self.serving.wait(20)
            asked = time.monotonic()
            granted = self._post("/lock", ask)
            since = time.monotonic()
            if granted is None:
                time.sleep(dice.uniform(0.001, 0.01))
                continue
            time.sleep(dice.uniform(0.0, 0.005))
            until = time.monotonic()
            self._post("/unlock", {"owner": ask["owner"], "token": granted["token"]})
            token, slots = int(str(granted["token"])), int(str(granted["slots"]))
            one = Held(token, slots, granted["exclusive"] is True, asked, since, until)
            with self.lock:
                self.held.append(one)

    def kill(self, exporter: Running) -> None:
        self.serving.clear()
        self.kills.append(time.monotonic())
        exporter.process.kill()
        exporter.process.wait(10)

    def _post(self, path: str, document: object) -> dict[str, object] | None:
        """None for a refusal, and while nobody serves."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=20)
        try:
            connection.request("POST", path, json.dumps(document))
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        assert response.status in (200, 409), body
        found = json.loads(body)
        return found if response.status == 200 else None

    def cut_at_kills(self) -> list[Held]:
        """A lease is gone when its exporter dies."""
        cut = []
        for one in self.held:
            deaths = [kill for kill in self.kills if one.asked <= kill <= one.until]
            until = min([one.until, *deaths])
            if until > one.since:
                cut.append(Held(one.token, one.slots, one.exclusive, one.asked, one.since, until))
        return cut


def test_32_callers_over_kill_9_never_share_an_exclusive_node_and_tokens_rise(
    tmp_path: Path,
) -> None:
    flags = ("--llm-url", NOWHERE, "--slots", str(CAPACITY))
    with running(tmp_path, *flags, listen=free_address()) as first:
        fleet = Fleet(first.url)
        threads = [
            threading.Thread(target=fleet.caller, args=(i,), daemon=True) for i in range(CALLERS)
        ]
        for thread in threads:
            thread.start()
        fleet.serving.set()
        time.sleep(1.5)
        fleet.kill(first)
    for last in (False, False, True):
        with running(tmp_path, *flags, listen=fleet.url.removeprefix("http://")) as again:
            fleet.serving.set()
            time.sleep(1.0)
            if last:
                fleet.stop.set()
                for thread in threads:
                    thread.join(20)
                left = again.call("GET", "/status").json()["lock"]
            fleet.kill(again)

    assert len(fleet.held) > 100, "or this proves nothing"
    _tokens_rise(fleet.held)
    _capacity_is_kept(fleet.cut_at_kills())
    assert isinstance(left, dict)
    assert left["holders"] == []


def free_address() -> str:
    """A port that can be bound anew at once, which one that the system chose could not be."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def _tokens_rise(held: list[Held]) -> None:
    """Whoever asked after another had its answer has the higher token."""
    assert len({one.token for one in held}) == len(held)
    by_answer = sorted(held, key=lambda one: one.since)
    for later in held:
        before = [one.token for one in by_answer if one.since < later.asked]
        assert later.token > max(before, default=0)


def _capacity_is_kept(held: list[Held]) -> None:
    for one in held:
        at_its_start = [other for other in held if other.since <= one.since < other.until]
        assert sum(other.slots for other in at_its_start) <= CAPACITY
        assert len(at_its_start) == 1 or not any(other.exclusive for other in at_its_start)
