"""The audit log tells what was done, and shows when somebody touched it."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dpl_router.security.audit import AuditLog, broken_at
from dpl_router.security.keys import Identity, Role

ANN = Identity("ann", Role.OPERATOR)


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def written(path: Path, *targets: str) -> None:
    audit = AuditLog(path, lambda: 1767225600.5)
    for target in targets:
        audit.record(ANN, "10.0.0.3", "cordon", target, "ok")


def test_a_line_says_who_did_what_to_which_part(tmp_path: Path) -> None:
    path = tmp_path / "data" / "audit.jsonl"
    written(path, "gpu-1")

    record = json.loads(lines(path)[0])

    record.pop("chain")
    assert record == {
        "time": "2026-01-01T00:00:00.500+00:00",
        "actor": "ann",
        "role": "operator",
        "address": "10.0.0.3",
        "action": "cordon",
        "object": "gpu-1",
        "outcome": "ok",
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for _ in range(3):
        written(path, "a", "b\n", "é" * 1000)

    assert len(lines(path)) == 9
    assert broken_at(lines(path)) is None


@pytest.mark.parametrize("cut", [1, 2, 30, 100])
def test_a_line_that_a_crash_cut_does_not_break_the_chain(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, "a", "b", "c")
    path.write_bytes(path.read_bytes()[:-cut])

    written(path, "d", "e")

    assert broken_at(lines(path)) is None
    assert json.loads(lines(path)[-1])["object"] == "e"


def test_the_chain_holds_when_many_threads_write(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(path, lambda: 0.0)
    with ThreadPoolExecutor(8) as threads:
        for n in range(400):
            threads.submit(audit.record, ANN, "", "cordon", str(n), "ok")

    assert len(lines(path)) == 400
    assert broken_at(lines(path)) is None


def test_a_changed_a_missing_and_an_added_line_are_found(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, "a", "b", "c", "d")
    good = lines(path)

    changed = [good[0], good[1].replace(b'"b"', b'"x"'), *good[2:]]
    missing = [good[0], *good[2:]]
    added = [*good[:2], good[1], *good[2:]]
    blanked = [good[0], b"torn", *good[2:]]

    assert [broken_at(one) for one in (changed, missing, added, blanked)] == [2, 2, 3, 3]


def test_what_cannot_be_written_does_not_stop_the_operator(tmp_path: Path) -> None:
    """A node must still be drained on a machine whose disk is full."""
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(path, lambda: 0.0)
    path.mkdir()
    audit.record(ANN, "", "drain", "lost", "ok")
    path.rmdir()

    audit.record(ANN, "", "drain", "kept", "ok")

    assert [json.loads(line)["object"] for line in lines(path)] == ["kept"]
    assert broken_at(lines(path)) is None


def test_a_line_that_was_written_but_not_confirmed_is_part_of_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(path, lambda: 0.0)
    written(path, "a")
    on_disk = path.read_bytes()[:-1]
    path.unlink()
    path.mkdir()
    audit.record(ANN, "", "cordon", "a", "ok")
    path.rmdir()
    path.write_bytes(on_disk)

    audit.record(ANN, "", "cordon", "b", "ok")

    assert len(lines(path)) == 2
    assert broken_at(lines(path)) is None
