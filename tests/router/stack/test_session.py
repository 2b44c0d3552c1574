"""`dpl up` blames --data-dir only for what happened there."""

import errno
from pathlib import Path

import pytest

from dpl_router.errors import ConfigError
from dpl_router.stack.session import usable


def test_the_folder_is_made(tmp_path: Path) -> None:
    with usable(tmp_path / "new" / "folder"):
        assert (tmp_path / "new" / "folder").is_dir()


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match=r"--data-dir .* cannot be used"),
        usable(tmp_path / "file"),
    ):
        pass


def test_what_the_system_refuses_inside_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be used"), usable(tmp_path):
        (tmp_path / "missing" / "file").write_text("x")


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No space left"), usable(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "Connection refused"), FileNotFoundError(2, "x", "/none")]
)
def test_anything_else_stays_what_it_is(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(type(error)), usable(tmp_path):
        raise error
