"""`make bench`: what the router costs, beside nginx in the same run. Ends with 1 on a missed goal.

    make bench                      some five minutes: the data path, then a fleet of 1,000 nodes
    make bench ARGS=--quick         one round, a minute: an indication
    make bench ARGS=path            the data path alone
    make bench ARGS=scale           the fleet alone, and longer
    make bench ARGS=--no-gate       print only

Everything runs on loopback. What counts are ratios: bare times of a machine that others use too
mean little, so the subjects take turns and the median of the rounds is told.
"""

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import parts, scale, subjects, translation
from bench.course import Course
from bench.goals import GOALS
from bench.report import broken, report
from bench.windows import FULL, QUICK, Rig
from dpl_router.stack.programs import PartMissing

ROUNDS = 3
DESCRIPTORS = 4096
"""A thousand streams are two thousand of the router's."""


def main() -> int:
    chosen = arguments()
    try:
        missed = [miss for part in PARTS[chosen.part] for miss in part(chosen)]
    except (PartMissing, FileNotFoundError, TimeoutError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if missed:
        print(f"missed: {', '.join(missed)}")
    return 1 if missed and not chosen.no_gate else 0


def data_path(chosen: argparse.Namespace) -> Sequence[str]:
    """Prints its table; what was missed. Raises: PartMissing."""
    began = time.monotonic()
    raise_descriptors()
    with tempfile.TemporaryDirectory(prefix="dpl-bench-") as folder, ExitStack() as stack:
        course = prepared(Path(folder), stack, chosen)
        course.run(1 if chosen.quick else ROUNDS)
        if not chosen.quick:
            course.repeat_the_noisy()
    print(f"\nafter {time.monotonic() - began:.0f} s, medians of the rounds:\n")
    print("\n".join([*report(course.rounds, course.names), "", *translation.lines()]))
    missed = [
        goal.name for goal in GOALS if goal.gates and not goal.met(course.rounds[goal.window])
    ]
    failed = any(line.startswith("router") for line in broken(course.rounds))
    return [*missed, *["answers failed"] * failed]


def big_fleet(chosen: argparse.Namespace) -> Sequence[str]:
    """Prints its table; what was missed.

    Raises: FileNotFoundError, which says what to install; TimeoutError.
    """
    seconds = scale.QUICK if chosen.quick else scale.SHORT if chosen.part == ALL else scale.WHOLE
    told = scale.measured(seconds)
    print("\n".join(["", *scale.lines(told)]))
    return scale.missed(told)


ALL = "all"
PARTS: Mapping[str, Sequence[Callable[[argparse.Namespace], Sequence[str]]]] = {
    ALL: (data_path, big_fleet),
    "path": (data_path,),
    "scale": (big_fleet,),
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="?", choices=list(PARTS), default=ALL)
    parser.add_argument("--quick", action="store_true", help="one short round, a short look")
    parser.add_argument("--no-gate", action="store_true", help="a missed goal is no failure")
    parser.add_argument(
        "--parts-dir", type=Path, default=Path(".parts"), help="where what is fetched lies"
    )
    return parser.parse_args()


def raise_descriptors() -> None:
    """For us and all that we start. Raises: PartMissing."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < DESCRIPTORS:
        raise PartMissing(
            f"a thousand streams need {DESCRIPTORS} open files and this shell allows {most}; "
            "raise its limit (ulimit -Hn) or run as another user"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def prepared(folder: Path, stack: ExitStack, chosen: argparse.Namespace) -> Course:
    """All subjects, running until `stack` closes. Raises: PartMissing."""
    load = parts.compiled("load", folder)
    upstream = stack.enter_context(subjects.upstream(parts.compiled("upstream", folder)))
    nginx = parts.nginx(chosen.parts_dir.absolute())
    running = [stack.enter_context(subjects.nginx(nginx, upstream.port, folder))]
    haproxy = shutil.which("haproxy")
    if haproxy is not None:
        running.append(stack.enter_context(subjects.haproxy(haproxy, upstream.port, folder)))
    running.append(stack.enter_context(subjects.router(upstream.port, folder)))
    return Course(Rig(load, upstream), running, QUICK if chosen.quick else FULL)


if __name__ == "__main__":
    sys.exit(main())
