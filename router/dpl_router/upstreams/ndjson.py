"""Lines of JSON out of bytes that may be cut anywhere (Ollama's streams).

Lines end at LF, a CR before it is dropped. They are split as bytes: U+2028, U+2029, U+0085, VT and
FF are text inside a JSON string, never an end.
"""

from dpl_router.errors import UpstreamBroke
from dpl_router.upstreams.sse import BOM, LINE_LIMIT, valid


class NdjsonReader:
    """Feed it bytes in any pieces. Lines of white space alone are dropped.

    Raises: UpstreamBroke where a line is over 1 MiB. Invalid UTF-8 becomes U+FFFD.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._begun = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are now complete, without their end."""
        if b"\n" not in data:
            self._keep(data)
            return []
        if self._rest:
            self._rest += data
            data = bytes(self._rest)
            self._rest.clear()
        lines = data.split(b"\n")
        self._keep(lines.pop())
        return [self._line(line) for line in lines if line.strip()]

    def end(self) -> list[bytes]:
        """The last line, where the server left out its LF."""
        return self.feed(b"\n")

    def _keep(self, rest: bytes) -> None:
        self._rest += rest
        if len(self._rest) > LINE_LIMIT:
            raise UpstreamBroke("a line of the node's stream is over 1 MiB")

    def _line(self, line: bytes) -> bytes:
        if len(line) > LINE_LIMIT:
            raise UpstreamBroke("a line of the node's stream is over 1 MiB")
        if not self._begun:
            self._begun = True
            line = line.removeprefix(BOM)
        line = line.removesuffix(b"\r")
        return line if line.isascii() else valid(line)
