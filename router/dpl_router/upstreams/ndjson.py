"""Lines of JSON out of bytes that may be cut anywhere (Ollama's streams)."""

from dpl_router.upstreams.lines import LINE_LIMIT, LineReader, too_long, valid


class NdjsonReader(LineReader):
    """Feed it bytes in any pieces. Lines of white space alone are dropped, and a CR at the end.

    Raises: UpstreamBroke where a line is over 1 MiB. Invalid UTF-8 becomes U+FFFD.
    """

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are now complete, without their end."""
        return [_line(line) for line in self.split(data) if line.strip()]

    def end(self) -> list[bytes]:
        """The last line, where the server left out its LF."""
        return self.feed(b"\n")


def _line(line: bytes) -> bytes:
    if len(line) > LINE_LIMIT:
        raise too_long()
    line = line.removesuffix(b"\r")
    return line if line.isascii() else valid(line)
