"""`dpl up` as a process: how it ends, what it leaves, how it starts again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from dpl_router.security.keys import Role
from dpl_router.security.new_key import new_key
from tests.system.running import PARTS, Stack, dpl_up, eventually, is_gone

pytestmark = pytest.mark.system


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with dpl_up(tmp_path / "data", "--demo") as running:
        yield running


@contextmanager
def long_story(stack: Stack, tokens: int) -> Iterator[Iterator[str]]:
    """The lines of an answer that has begun."""
    body = {
        "model": "auto",
        "stream": True,
        "max_tokens": tokens,
        "ignore_eos": True,
        "messages": [{"role": "user", "content": "Write a long story."}],
    }
    url = stack.url + "/v1/chat/completions"
    with httpx.stream("POST", url, json=body, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        yield lines


def test_ctrl_c_ends_all_at_once_and_an_open_stream_with_an_error(stack: Stack) -> None:
    pids = stack.processes().values()

    with long_story(stack, 1500) as lines:
        began = time.monotonic()
        code = stack.end(signal.SIGINT, 20)
        took = time.monotonic() - began
        events = [line for line in lines if line]

    assert code == 0
    assert took < 6  # 2 s is the promise; this machine may be busy
    assert '"error"' in events[-1]
    assert all(map(is_gone, pids))
    assert not (stack.data_dir / "up.sock").exists()


def test_sigterm_lets_a_running_answer_finish(stack: Stack) -> None:
    pids = stack.processes().values()

    with long_story(stack, 300) as lines:
        stack.process.send_signal(signal.SIGTERM)
        events = [line for line in lines if line]
        code = stack.process.wait(60)

    assert code == 0
    assert events[-1] == "data: [DONE]"
    assert all(map(is_gone, pids))


def test_kill_9_leaves_no_process_and_the_next_start_works(stack: Stack) -> None:
    pids = stack.processes()
    assert set(pids) == {"llm", "exporter", "router", "alertmanager", "prometheus"}

    stack.end(signal.SIGKILL, 10)

    eventually(lambda: all(map(is_gone, pids.values())), 10)
    with dpl_up(stack.data_dir, "--demo") as again:
        assert again.chat().status_code == 200


def test_a_second_one_on_the_same_folder_is_one_clear_line(stack: Stack) -> None:
    command = [sys.executable, "-m", "dpl_router", "up", "--demo"]
    where = ["--data-dir", str(stack.data_dir), "--parts-dir", str(PARTS)]

    done = subprocess.run(
        [*command, *where], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"already runs on {stack.data_dir}" in done.stderr


def test_a_part_that_was_killed_comes_back(stack: Stack) -> None:
    first = stack.processes()["exporter"]

    os.kill(first, signal.SIGKILL)

    eventually(lambda: stack.processes().get("exporter", first) != first, 30)
    assert stack.chat().status_code == 200


def test_a_usual_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", 9093))
            holder.listen()
        except OSError:
            pass  # somebody else holds it: as good
        with dpl_up(tmp_path / "data", "--demo") as stack:
            assert "port 9093 is taken: alertmanager listens on 909" in stack.text
            assert stack.address("Alertmanager") != "http://127.0.0.1:9093"
            assert stack.chat().headers["x-dpl-node"] == "local"


def test_a_wrong_nodes_file_is_told_before_anything_starts(tmp_path: Path) -> None:
    nodes = tmp_path / "nodes.yaml"
    nodes.write_text("version: 1\nnodes:\n  - name: gpu-1\n    llm_url: http://10.0.0.5:11434\n")
    command = [sys.executable, "-m", "dpl_router", "up", "--nodes", str(nodes)]
    where = ["--data-dir", str(tmp_path / "data"), "--parts-dir", str(PARTS)]

    done = subprocess.run(
        [*command, *where], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 2
    assert "nodes.yaml:4:5" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_keys_every_part_shows_its_own(tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    key = new_key(keys, "alice", Role.OPERATOR)
    mine = {"authorization": f"Bearer {key}"}

    with dpl_up(tmp_path / "data", "--demo", "--keys-file", str(keys)) as stack:
        bare = stack.chat()
        curl = subprocess.run(
            ["/bin/sh", "-c", stack.curl],
            env={**os.environ, "DPL_API_KEY": key},
            capture_output=True,
            text=True,
            timeout=60,
        )
        eventually(lambda: len(stack.query("up == 1")) == 4, 60)
        eventually(
            lambda: 'scheduling_mode="promql"} 1' in stack.get("/metrics", headers=mine).text, 60
        )
        # the watchdog fires at once: its first word goes through Alertmanager's token
        eventually(lambda: notified(stack) > 0, 60)
        failed = stack.query("sum(alertmanager_notifications_failed_total)")

    assert float(failed[0]["value"][1]) == 0
    assert bare.status_code == 401
    assert "x-dpl-node: local" in curl.stdout
    assert key not in stack.text
    for token in ("router.token", "prometheus.token"):
        file = stack.data_dir / token
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text().strip() not in stack.text


def notified(stack: Stack) -> float:
    page = httpx.get(stack.address("Alertmanager") + "/metrics", timeout=10).text
    lines = [
        line for line in page.splitlines() if line.startswith("alertmanager_notifications_total")
    ]
    return sum(float(line.split()[-1]) for line in lines if "webhook" in line)
