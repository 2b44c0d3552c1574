"""Keys: what opens, what does not, and what a change of the file does."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dpl_exporter.errors import (
    NotAllowed,
    NotAuthenticated,
    SettingsError,
    TooManyWrongKeys,
)
from dpl_exporter.keys import (
    MOST_PEERS,
    WRONG_KEYS,
    WRONG_WINDOW,
    Keys,
    Role,
    WrongKeys,
    read_keys,
)


def entry(key: str, role: str = "operator", **more: object) -> dict[str, object]:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return {"name": f"{key}-{role}", "role": role, "sha256": digest, **more}


def write(file: Path, *entries: dict[str, object]) -> Path:
    """A change of the file is seen by its time, also within one tick of the file system."""
    before = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(yaml.safe_dump({"keys": list(entries)}))
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, max(stat.st_mtime_ns, before + 1)))
    return file


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Keys]:
    def do(*entries: dict[str, object], wall: float = 0.0) -> Keys:
        return Keys(write(tmp_path / "keys.yaml", *entries), lambda: wall, lambda: 0.0)

    return do


def opens(keys: Keys, key: str, role: Role = Role.OPERATOR) -> bool:
    try:
        keys.require(role, f"Bearer {key}", "10.0.0.9")
    except (NotAuthenticated, NotAllowed):
        return False
    return True


def test_a_listed_key_opens_what_its_role_may(make: Callable[..., Keys]) -> None:
    keys = make(entry("op"), entry("us", "user"), entry("vi", "viewer"))

    assert opens(keys, "op")
    assert opens(keys, "vi", Role.VIEWER)
    with pytest.raises(NotAllowed):
        keys.require(Role.OPERATOR, "Bearer us", "x")
    with pytest.raises(NotAllowed):
        keys.require(Role.USER, "Bearer vi", "x")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic op", "op", "Bearer nope"])
def test_no_key_and_a_wrong_key_are_not_authenticated(
    make: Callable[..., Keys], header: str
) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        make(entry("op")).require(Role.OPERATOR, header, "x")

    assert refused.value.headers == {"WWW-Authenticate": "Bearer"}


def test_the_hash_itself_is_no_key(make: Callable[..., Keys]) -> None:
    listed = entry("op")

    assert not opens(make(listed), str(listed["sha256"]))


@pytest.mark.parametrize("expires", ["1970-01-02T00:00:00Z", "'1970-01-02T00:00:00Z'"])
def test_an_expired_key_is_no_key(tmp_path: Path, expires: str) -> None:
    file = tmp_path / "keys.yaml"
    digest = hashlib.sha256(b"op").hexdigest()
    file.write_text(f"keys: [{{name: a, role: operator, sha256: '{digest}', expires: {expires}}}]")

    assert opens(Keys(file, lambda: 86399.0, lambda: 0.0), "op")
    assert not opens(Keys(file, lambda: 86400.0, lambda: 0.0), "op")


def test_fields_that_only_the_router_knows_may_stand_there(make: Callable[..., Keys]) -> None:
    assert opens(make(entry("op", models=["*"], rpm=5, concurrency=2)), "op")


def test_a_changed_file_counts_from_the_next_call(
    make: Callable[..., Keys], tmp_path: Path
) -> None:
    keys = make(entry("old"))
    before = opens(keys, "old"), opens(keys, "new")

    write(tmp_path / "keys.yaml", entry("new"))

    assert before == (True, False)
    assert (opens(keys, "old"), opens(keys, "new")) == (False, True)


def test_a_bad_or_missing_file_keeps_the_keys_that_were_and_says_so_once(
    make: Callable[..., Keys], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = make(entry("op"))
    (tmp_path / "keys.yaml").write_text("keys: [{name: a}]")
    bad = opens(keys, "op"), opens(keys, "op")
    (tmp_path / "keys.yaml").unlink()

    assert bad == (True, True)
    assert opens(keys, "op")
    assert len(caplog.messages) == 2
    assert "keys[0].role" in caplog.messages[0]


def test_wrong_keys_from_one_address_are_limited_right_ones_are_not(tmp_path: Path) -> None:
    now = [0.0]
    keys = Keys(write(tmp_path / "k.yaml", entry("op")), lambda: 0.0, lambda: now[0])

    def wrong(peer: str) -> None:
        keys.require(Role.OPERATOR, "Bearer wrong", peer)

    for _ in range(WRONG_KEYS):
        with pytest.raises(NotAuthenticated):
            wrong("10.0.0.1")
    with pytest.raises(TooManyWrongKeys) as refused:
        wrong("10.0.0.1")
    keys.require(Role.OPERATOR, "Bearer op", "10.0.0.1")
    with pytest.raises(NotAuthenticated):
        wrong("10.0.0.2")
    now[0] += WRONG_WINDOW
    with pytest.raises(NotAuthenticated):
        wrong("10.0.0.1")

    assert 1 <= int(refused.value.headers["Retry-After"]) <= 61


def test_a_flood_of_addresses_frees_only_those_that_were_silent_longest() -> None:
    """Otherwise who guesses keys starts afresh by calling from many addresses."""
    wrong = WrongKeys(lambda: 0.0)
    wrong.count("silent")
    for _ in range(WRONG_KEYS):
        wrong.count("guesser")
    for i in range(MOST_PEERS - 1):
        wrong.count(f"peer-{i}")

    with pytest.raises(TooManyWrongKeys):
        wrong.count("guesser")
    for i in range(MOST_PEERS - 1):
        wrong.count(f"other-{i}")
    with pytest.raises(TooManyWrongKeys):
        wrong.count("guesser")
    for i in range(MOST_PEERS):
        wrong.count(f"last-{i}")
    wrong.count("guesser")


GOOD = hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the top must be"),
        ("keys:", "the top must be"),
        ("keys: [1]", "keys[0] must have"),
        ("keys: [{role: user, sha256: a}]", "keys[0].name"),
        ("keys: [{name: a, role: admin, sha256: a}]", "keys[0].role"),
        ("keys: [{name: a, role: user, sha256: short}]", "keys[0].sha256"),
        ("keys: [{name: a, role: user, sha256: 12345678}]", "keys[0].sha256"),
        (f"keys: [{{name: a, role: user, sha256: '{GOOD}', expires: soon}}]", "keys[0].expires"),
        (
            f"keys: [{{name: a, role: user, sha256: '{GOOD}'}}, "
            f"{{name: a, role: user, sha256: '{GOOD}'}}]",
            "'a' stands there twice",
        ),
        ("keys: &a [*a]", "aliases"),
        ("keys: !!python/object:os.system x", "the tag !!python/object:os.system"),
        ('keys: !!int ""', "line 1: the tag !!int"),
        ("keys:\n- !!bool zz", "line 2: the tag !!bool"),
        ("keys: !!float x", "the tag !!float"),
        ("keys: !!timestamp x", "the tag !!timestamp"),
        ("keys: !!binary é", "the tag !!binary"),
        ("keys: !!set [a]", "the tag !!set"),
        ("!!str keys: []", "the tag !!str"),
        ("keys: !mine x", "the tag !mine"),
        ("keys: ! 5", "the tag !"),
        ("keys: !%0Ax 5", "the tag ! x"),
        ("keys: [2026-99-99]", "not YAML"),
        ("keys: [{a: [b]: c}]", "not YAML"),
        ("keys: {[a]: b}", "not YAML"),
        ("keys: {? {a: b} : c}", "not YAML"),
        ("keys: 0b", "the top must be"),
        ("keys: [0x_]", "not YAML"),
        ("keys: [1:99:_]", "keys[0] must have"),
        ("keys: [=]", "not YAML"),
        ("<<: 5", "not YAML"),
        ("\x00", "not YAML"),
        ("[" * 50_000, "too many levels"),
    ],
)
def test_a_bad_file_is_one_line_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(text)

    with pytest.raises(SettingsError) as refused:
        read_keys(file)

    assert said in refused.value.message
    assert str(file) in refused.value.message
    assert "\n" not in refused.value.message


def test_a_changed_file_with_a_bad_tag_keeps_the_keys_that_were(
    make: Callable[..., Keys], tmp_path: Path
) -> None:
    keys = make(entry("op"))

    (tmp_path / "keys.yaml").write_text('keys: !!int ""')

    assert opens(keys, "op")


def test_an_enormous_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("# " + "x" * 2**20)

    with pytest.raises(SettingsError, match="1 MiB"):
        read_keys(file)
