"""The token's high-water mark: strictly rising, whatever happens to process, clock or disk."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpl_exporter.journal import BLOCK, EXACT, FILE, Journal


def open_journal(folder: Path, wall: float = 1_700_000_000.0) -> Journal:
    return Journal(folder, lambda: wall)


def test_tokens_start_from_the_wall_clock_in_microseconds(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "made" / "when missing")

    token = journal.next_token()

    assert token == 1_700_000_000_000_001
    assert float(token + 1) != float(token), "exact in a float"
    assert journal.persistent


def test_tokens_rise_over_restarts_also_when_the_clock_went_back(tmp_path: Path) -> None:
    tokens = []
    for wall in (1_700_000_000.0, 1_600_000_000.0, 0.0):
        journal = open_journal(tmp_path, wall)
        tokens += [journal.next_token() for _ in range(BLOCK + 10)]

    assert tokens == sorted(set(tokens))


def test_the_mark_on_disk_is_never_below_a_token_that_was_handed_out(tmp_path: Path) -> None:
    """So a kill -9 between any two instructions loses nothing."""
    journal = open_journal(tmp_path)
    for _ in range(3 * BLOCK):
        token = journal.next_token()
        mark = int((tmp_path / FILE).read_text())

        assert mark >= token


def test_the_mark_is_on_the_disk_before_its_name_and_its_name_before_a_token(
    tmp_path: Path,
) -> None:
    """Otherwise a loss of power gives an empty mark, or the old one, and tokens come twice."""
    file = tmp_path / FILE
    synced: list[tuple[str, str]] = []

    def sync(number: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file"
        size = os.fstat(number).st_size
        synced.append((kind, file.read_text().strip() if file.exists() else "not named yet"))
        assert kind == "folder" or size > 0, "what is not written yet cannot be synced"
        os.fsync(number)

    journal = Journal(tmp_path, lambda: 1.0, sync)
    first, second = str(1_000_000 + BLOCK), str(1_000_000 + 2 * BLOCK)
    tokens = [journal.next_token() for _ in range(BLOCK)]

    assert synced == [
        ("file", "not named yet"),
        ("folder", first),
        ("file", first),
        ("folder", second),
    ]
    assert tokens[-1] == 1_000_000 + BLOCK


def test_a_mark_that_could_not_be_synced_is_not_persistent(tmp_path: Path) -> None:
    def sync(_number: int) -> None:
        raise OSError(5, "Input/output error")

    journal = Journal(tmp_path, lambda: 1.0, sync)

    assert journal.next_token() > 0
    assert not journal.persistent


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.floats(0.0, 2e9)), min_size=1, max_size=6))
def test_any_history_of_restarts_and_clocks_rises_strictly(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[int, float]]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    tokens = []
    for handed_out, wall in history:
        journal = open_journal(folder, wall)
        tokens += [journal.next_token() for _ in range(handed_out)]

    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("damage", ["", "rubbish", "-5", str(EXACT), "9" * 40, "\x00\xff"])
def test_a_damaged_mark_is_no_mark(tmp_path: Path, damage: str) -> None:
    (tmp_path / FILE).write_text(damage)

    journal = open_journal(tmp_path)

    assert journal.next_token() == 1_700_000_000_000_001
    assert journal.persistent


def test_without_a_writable_folder_tokens_still_rise_and_it_says_so(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    journal = open_journal(in_the_way)

    tokens = [journal.next_token() for _ in range(2 * BLOCK)]

    assert tokens == sorted(set(tokens))
    assert not journal.persistent


def test_it_is_persistent_again_once_the_folder_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("")
    journal = open_journal(folder)
    first = journal.next_token()
    folder.unlink()

    second = journal.next_token()

    assert journal.persistent
    assert second > first
    assert int((folder / FILE).read_text()) > second
    assert os.listdir(folder) == [FILE], "nothing is left beside it"


def test_a_mark_that_another_exporter_wrote_is_never_lowered(tmp_path: Path) -> None:
    behind = open_journal(tmp_path, wall=0.0)
    open_journal(tmp_path, wall=1_700_000_000.0).next_token()
    written = int((tmp_path / FILE).read_text())

    for _ in range(2 * BLOCK):
        behind.next_token()

    assert int((tmp_path / FILE).read_text()) >= written
