"""Tells when a file changed, however the editor saved it, or a file that it names.

For nodes.yaml and keys.yaml.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import watchfiles

SETTLE = 50
"""Milliseconds without a further change after which a save is taken to be finished."""
LONGEST_SETTLE = 300
LOOK_AGAIN = 500
"""Milliseconds; what the system does not tell (network drives, a replaced folder) is seen then."""
PAIR = 0.3
"""Seconds after which a renewed certificate's key is there as well."""

Fingerprint = tuple[int, int, int] | None


async def watch(
    path: Path,
    apply: Callable[[], Awaitable[None]],
    named: Callable[[], Iterable[Path]] = tuple,
) -> None:
    """Call `apply` at once, for what changed before we looked, and within a second of each change.

    Until cancelled. The folder is watched, not the file: a rename on save puts another file in its
    place. `named` are the files that it names, wherever they lie: a renewed certificate is seen
    within a second as well. `apply` answers for its own errors. A file that vanished is a change.
    """

    async def look() -> dict[Path, Fingerprint]:
        return await asyncio.to_thread(fingerprints, [path, *named()])  # a drive may hang

    seen = await look()
    await apply()
    async for _ in watchfiles.awatch(
        path.parent,
        watch_filter=None,
        step=SETTLE,
        debounce=LONGEST_SETTLE,
        rust_timeout=LOOK_AGAIN,
        yield_on_timeout=True,
        recursive=False,
    ):
        now = await look()
        if now == seen:
            continue
        if now[path] == seen[path]:
            await asyncio.sleep(PAIR)
            now = await look()
        seen = now
        await apply()


def fingerprints(paths: Iterable[Path]) -> dict[Path, Fingerprint]:
    return {path: fingerprint(path) for path in paths}


def fingerprint(path: Path) -> Fingerprint:
    """Differs after every save; None where there is no file."""
    try:
        stat = path.stat()
    except (OSError, ValueError):  # ValueError: no name of a file
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
