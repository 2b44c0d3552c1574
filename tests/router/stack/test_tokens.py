"""The stack's own keys."""

from pathlib import Path

import pytest

from dpl_router.errors import ConfigError
from dpl_router.security.keys import Role, load_keys
from dpl_router.security.new_key import new_key
from dpl_router.stack.tokens import ready_tokens


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    new_key(tmp_path / "keys.yaml", "alice", Role.USER)
    return tmp_path / "keys.yaml"


def test_both_tokens_are_right_and_private(keys_file: Path, tmp_path: Path) -> None:
    said: list[str] = []

    tokens = ready_tokens(keys_file, tmp_path, said.append)

    ring = load_keys(keys_file)
    operator = ring.identify(tokens.operator.read_text().strip())
    viewer = ring.identify(tokens.viewer.read_text().strip())
    assert operator is not None
    assert operator.role is Role.OPERATOR
    assert viewer is not None
    assert viewer.role is Role.VIEWER
    assert {file.stat().st_mode & 0o777 for file in (tokens.operator, tokens.viewer)} == {0o600}
    assert len(said) == 2


def test_tokens_that_are_still_listed_are_kept(keys_file: Path, tmp_path: Path) -> None:
    ready_tokens(keys_file, tmp_path, lambda _: None)
    before = keys_file.read_text()

    ready_tokens(keys_file, tmp_path, lambda _: None)

    assert keys_file.read_text() == before


def test_a_token_that_was_revoked_is_made_anew(keys_file: Path, tmp_path: Path) -> None:
    alone = keys_file.read_text()
    old = ready_tokens(keys_file, tmp_path, lambda _: None).operator.read_text()
    keys_file.write_text(alone)

    new = ready_tokens(keys_file, tmp_path, lambda _: None).operator.read_text()

    assert new != old
    assert load_keys(keys_file).identify(new.strip()) is not None


def test_a_missing_keys_file_is_told_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dpl key new NAME"):
        ready_tokens(tmp_path / "keys.yaml", tmp_path, lambda _: None)
