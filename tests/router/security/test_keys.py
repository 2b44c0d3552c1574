"""keys.yaml and what it lets in."""

import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from dpl_router.cli.key import key as key_verb
from dpl_router.errors import ConfigError
from dpl_router.security.keys import Identity, KeyRing, KeysError, Role, load_keys
from dpl_router.security.new_key import new_key


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def ring(folder: Path, text: str, now: float = 0.0) -> KeyRing:
    path = folder / "keys.yaml"
    path.write_text(text)
    return load_keys(path, lambda: now)


def test_any_string_whose_hash_is_listed_is_a_key(tmp_path: Path) -> None:
    keys = ring(
        tmp_path,
        f"keys:\n- {{name: a, role: user, sha256: {hashed('é x')}, models: ['qwen*']}}\n"
        f"- {{name: b, role: operator, sha256: {hashed('2').upper()}}}\n",
    )

    for _ in range(2):
        assert keys.identify("é x") == Identity("a", Role.USER, ("qwen*",))
        assert keys.identify("2") == Identity("b", Role.OPERATOR)
        assert keys.identify("3") is None
        assert keys.identify("") is None


def test_a_key_ends_when_it_says_even_if_it_was_used_before(tmp_path: Path) -> None:
    clock = [1798761598.0]
    path = tmp_path / "keys.yaml"
    path.write_text(
        f"keys: [{{name: a, role: user, sha256: {hashed('k')}, expires: 2026-12-31T23:59:59Z}}]"
    )
    keys = load_keys(path, lambda: clock[0])
    assert keys.identify("k") is not None

    clock[0] += 1

    assert keys.identify("k") is None


def test_a_key_may_be_bound_to_models() -> None:
    bound = Identity("a", Role.USER, ("qwen3:*", "tiny"))

    assert [bound.may_use(model) for model in ("qwen3:14b", "tiny", "tiny2")] == [True, True, False]
    assert Identity("b", Role.USER).may_use("anything")


@pytest.mark.parametrize(
    ("glob", "its", "not_its"),
    [
        ("good", ("good", "good:latest", "GOOD", "Good:Latest"), ("good:7b", "goods", "a/good")),
        ("Good:latest", ("good", "GOOD:latest"), ("good:7b",)),
        ("*:latest", ("good", "a/Good"), ("good:7b", "a/good:latest-q4")),
        ("Qwen3:*", ("qwen3:1b", "QWEN3"), ("qwen:1b",)),
        ("host:5000/good", ("host:5000/Good:latest",), ("host:5000/good:1",)),
    ],
)
def test_a_model_of_a_key_is_its_whichever_way_it_is_spelled_and_no_other_is(
    glob: str, its: tuple[str, ...], not_its: tuple[str, ...]
) -> None:
    bound = Identity("a", Role.USER, (glob,))

    assert [model for model in (*its, *not_its) if bound.may_use(model)] == list(its)


def test_every_mistake_is_told_at_once_and_no_hash_or_key_is_repeated(tmp_path: Path) -> None:
    text = f"""\
keys:
  - {{name: a, role: user, sha256: {hashed("x")}, rpm: 3}}
  - {{name: a, role: admin, sha256: {hashed("x")}}}
  - {{name: b, role: user, sha256: dpl_secret}}
  - {{name: c, role: user, sha256: {hashed("y")}, expires: 2026-02-31T00:00:00Z}}
  - {{nam: d, role: user, sha256: {hashed("z")}}}
"""
    with pytest.raises(KeysError) as caught:
        ring(tmp_path, text)

    told = [f"{one.line} {one.path} {one.message}" for one in caught.value.mistakes]
    assert told == [
        "2 keys[0].rpm unknown field",
        "3 keys[1].name another key has this name already",
        "3 keys[1].role 'admin' does not fit",
        "3 keys[1].sha256 another key has this sha256 already",
        "4 keys[2].sha256 a secret does not stand here itself",
        "5 keys[3].expires there is no such day",
        '6 keys[4] the field "name" is missing',
        "6 keys[4].nam unknown field",
    ]
    assert caught.value.mistakes[0].hint == "it comes with a later release"
    assert "dpl_secret" not in str(caught.value)


def test_a_new_key_opens_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys.yaml"

    first, second = new_key(path, "no", Role.USER), new_key(path, "b", Role.OPERATOR)

    keys = load_keys(path)
    assert keys.identify(first) == Identity("no", Role.USER)
    assert keys.identify(second) == Identity("b", Role.OPERATOR)
    assert first.startswith("dpl_")
    assert len(first) == 4 + 52
    assert first not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["keys.yaml"]


@pytest.mark.parametrize(
    "old",
    [
        "# ours\nkeys:\n  - name: old\n    role: user\n    sha256: HASH\n    models: [a]\n# end",
        "# ours\nkeys:\n- {name: old, role: user, sha256: HASH, expires: 2030-01-01T00:00:00Z}\n",
    ],
)
def test_what_was_in_the_file_stays_as_it_was_written(tmp_path: Path, old: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(old.replace("HASH", hashed("old")))

    new_key(path, "new", Role.VIEWER)

    assert path.read_text().startswith(old.replace("HASH", hashed("old")))
    assert len(load_keys(path)) == 2


@pytest.mark.parametrize(
    "old",
    [
        "keys: []\n",
        "# nothing yet\n",
        "",
        "keys: [{name: old, role: user, sha256: HASH, expires: 2030-01-01T00:00:00Z}]\n",
    ],
)
def test_other_forms_of_the_file_are_understood(tmp_path: Path, old: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(old.replace("HASH", hashed("old")))

    made = new_key(path, "new", Role.VIEWER)

    keys = load_keys(path)
    assert keys.identify(made) is not None
    assert len(keys) == (2 if "old" in old else 1)


def test_a_taken_name_and_a_wrong_file_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    new_key(path, "a", Role.USER)
    before = path.read_bytes()

    for name in ("a", "b c", ""):
        with pytest.raises(ConfigError, match="cannot be added"):
            new_key(path, name, Role.USER)
    assert path.read_bytes() == before

    path.write_text("kees: []\n")
    with pytest.raises(ConfigError, match="unknown field"):
        new_key(path, "b", Role.USER)
    assert path.read_text() == "kees: []\n"
    assert [one.name for one in tmp_path.iterdir()] == ["keys.yaml"]


def test_two_commands_at_once_lose_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    threads = [threading.Thread(target=new_key, args=(path, f"k{n}", Role.USER)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(load_keys(path)) == 8


def test_a_linked_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.symlink("etc/keys.yaml", tmp_path / "keys.yaml")

    new_key(tmp_path / "keys.yaml", "a", Role.USER)

    assert (tmp_path / "keys.yaml").is_symlink()
    assert len(load_keys(tmp_path / "etc" / "keys.yaml")) == 1


def test_the_verb_prints_the_key_alone_on_stdout(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"

    result = CliRunner().invoke(
        key_verb, ["new", "ann", "--role", "user"], env={"DPL_KEYS_FILE": str(path)}
    )

    assert result.exit_code == 0
    assert load_keys(path).identify(result.stdout.strip()) == Identity("ann", Role.USER)
    assert "'ann' as user" in result.stderr


def test_the_verb_wants_to_know_the_file() -> None:
    result = CliRunner().invoke(
        key_verb, ["new", "ann", "--role", "user"], env={"DPL_KEYS_FILE": None}
    )

    assert isinstance(result.exception, ConfigError)
    assert "--keys-file" in result.exception.message


@pytest.mark.parametrize("tagged", ['!!int ""', '!!float ""', "!!bool zz", "!!str a"])
def test_a_tag_in_the_keys_file_is_a_mistake_with_its_line(tmp_path: Path, tagged: str) -> None:
    with pytest.raises(KeysError, match=r"keys\.yaml:2:9.* the tag"):
        ring(tmp_path, f"keys:\n- name: {tagged}\n  role: user\n  sha256: {hashed('k')}\n")
