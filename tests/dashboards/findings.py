"""Check by dashboard: python -m tests.dashboards.findings prints how much is wrong, and what."""

import sys
from collections.abc import Iterator

from tests.dashboards import boards
from tests.dashboards.checks import CHECKS


def findings() -> dict[str, dict[str, list[str]]]:
    """Check -> dashboard -> what is wrong there."""
    return {
        check.__name__: {name: list(check(boards.read(name))) for name in boards.names()}
        for check in CHECKS
    }


def table(found: dict[str, dict[str, list[str]]]) -> Iterator[str]:
    names = boards.names()
    yield " ".join([f"{'check':<12}", *(f"{name.removeprefix('dpl-'):>9}" for name in names)])
    for check, by_board in found.items():
        yield " ".join([f"{check:<12}", *(f"{len(by_board[name]):>9}" for name in names)])
    total = sum(len(wrong) for by_board in found.values() for wrong in by_board.values())
    yield f"{total} findings in {len(names)} dashboards"


def main() -> int:
    found = findings()
    print(*table(found), sep="\n")
    wrong = [
        f"{name} {check}: {each}"
        for check, by_board in found.items()
        for name, mistakes in by_board.items()
        for each in mistakes
    ]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
