"""A child that ends with its parent, however the parent ends.

    python -m dpl_router.stack.lifeline PARENT COMMAND ARGUMENT…

becomes COMMAND, and the kernel kills it when PARENT is gone. A program of its own, since code
between fork and exec of a threaded parent may lock for ever.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
"""linux/prctl.h: the signal that comes when the thread that forked us is gone; survives exec."""


def tied(command: Sequence[str]) -> list[str]:
    """`command`, tied to this process."""
    return [sys.executable, "-m", "dpl_router.stack.lifeline", str(os.getpid()), *command]


def tie(parent: int) -> None:
    """Linux only: elsewhere a parent killed by SIGKILL leaves its children."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


def main() -> None:
    parent, *command = sys.argv[1:]
    tie(int(parent))
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
