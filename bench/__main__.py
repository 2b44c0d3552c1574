"""`make bench`: what the router costs, beside nginx in the same run. Ends with 1 on a missed goal.

    make bench                      some four minutes
    make bench ARGS=--quick         one round, half a minute: an indication
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
from contextlib import ExitStack
from pathlib import Path

from bench import parts, subjects, translation
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
    began = time.monotonic()
    try:
        raise_descriptors()
        with tempfile.TemporaryDirectory(prefix="dpl-bench-") as folder, ExitStack() as stack:
            course = prepared(Path(folder), stack, chosen)
            course.run(1 if chosen.quick else ROUNDS)
            if not chosen.quick:
                course.repeat_the_noisy()
    except PartMissing as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f"\nafter {time.monotonic() - began:.0f} s, medians of the rounds:\n")
    print("\n".join([*report(course.rounds, course.names), "", *translation.lines()]))
    missed = [
        goal.name for goal in GOALS if goal.gates and not goal.met(course.rounds[goal.window])
    ]
    failed = [line for line in broken(course.rounds) if line.startswith("router")]
    if missed or failed:
        print(f"missed: {', '.join(missed) or 'no goal, but answers failed'}")
    return 1 if (missed or failed) and not chosen.no_gate else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round")
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
