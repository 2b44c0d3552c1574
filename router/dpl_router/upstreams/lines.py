"""Lines out of bytes that may be cut anywhere: what event streams and NDJSON have in common.

They are split as bytes, at LF only: U+2028, U+2029, U+0085, VT and FF are text inside a JSON
string, never an end.
"""

from dpl_router.errors import UpstreamBroke

LINE_LIMIT = 1024 * 1024
BOM = b"\xef\xbb\xbf"


class LineReader:
    """Keeps the start of a line until its end has come. Raises: UpstreamBroke, over 1 MiB."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._begun = False

    def split(self, data: bytes) -> list[bytes]:
        """The lines that are now complete, without their LF; a leading BOM is dropped."""
        if b"\n" not in data:
            self._keep(data)
            return []
        if self._rest:
            self._rest += data
            data = bytes(self._rest)
            self._rest.clear()
        lines = data.split(b"\n")
        self._keep(lines.pop())
        if not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(BOM)
        return lines

    def _keep(self, rest: bytes) -> None:
        self._rest += rest
        if len(self._rest) > LINE_LIMIT:
            raise too_long()


def too_long() -> UpstreamBroke:
    return UpstreamBroke("a line of the node's stream is over 1 MiB")


def valid(data: bytes) -> bytes:
    """`data` as it is where it is UTF-8, else with U+FFFD for what is not."""
    if data.isascii():
        return data
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="replace").encode()
    return data
