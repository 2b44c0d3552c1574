"""The command `dpl`: every failure is one line on stderr, never a traceback.

Exit codes: 0 done, 1 it failed, 2 something given was wrong, 130 interrupted.
"""

import os
import sys

import rich_click as click

from dpl_router.cli import dpl
from dpl_router.errors import ConfigError, DplError


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of `dpl ARGUMENTS`."""
    try:
        code = dpl.main(arguments, prog_name="dpl", standalone_mode=False)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        return 130
    except click.ClickException as error:
        return complain(spoken(error), error.exit_code)
    except DplError as error:
        return complain(error.message, 2 if isinstance(error, ConfigError) else 1)
    except BrokenPipeError:
        # `dpl get nodes | head`: nobody reads on; the interpreter's own flush must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def spoken(error: click.ClickException) -> str:
    """The complaint and the command that explains."""
    said = error.format_message().rstrip(".")
    if not isinstance(error, click.UsageError):
        return said
    path = error.ctx.command_path if error.ctx else "dpl"
    return f"{said}; see `{path} --help`"


def complain(said: str, code: int) -> int:
    print(f"dpl: {said}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
