"""The lock file installs by the oldest pip that a distribution still brings."""

import re
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKED = {
    canonicalize_name(line.name): line.extras
    for line in map(
        Requirement, re.findall(r"^\S+==\S+", (ROOT / "requirements.lock").read_text(), re.M)
    )
}


def wanted_extras() -> list[tuple[str, Requirement]]:
    """(who, what) of what is installed here, where the requirement names extras."""
    return [
        (each.name, wish)
        for each in distributions()
        for wish in map(Requirement, each.requires or ())
        if wish.extras and (wish.marker is None or wish.marker.evaluate({"extra": ""}))
    ]


def test_some_requirement_names_extras() -> None:
    assert wanted_extras()


@pytest.mark.parametrize(("who", "wish"), wanted_extras(), ids=str)
def test_what_is_wanted_with_extras_is_locked_with_them(who: str, wish: Requirement) -> None:
    """Else pip 23.0 (Debian 12) takes the newest version that there is, and refuses it since that
    is not the locked one: the first day after its release nobody can install."""
    locked = LOCKED.get(canonicalize_name(wish.name))
    assert locked is not None, f"{who} is installed beside the lock file"
    assert wish.extras <= locked


def test_every_lock_file_is_made_so() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert makefile.count("uv pip compile") == makefile.count("--no-strip-extras") == 2
