"""Server-sent events out of bytes that may be cut anywhere.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html (CRLF, LF or CR end a
line; one leading BOM is dropped; one space after the colon is not part of the value).
"""

from dpl_router.errors import UpstreamBroke
from dpl_router.upstreams.lines import LINE_LIMIT, LineReader, valid

UNREAD_LIMIT = 4096

SseEvent = tuple[bytes, bytes]
"""(name, data): the name is empty where the server gave none; data lines are joined by LF."""


class SseReader(LineReader):
    """Feed it bytes in any pieces. Events without data, ids and comments are dropped.

    Raises: UpstreamBroke where a line, or an event's data, is over 1 MiB. Invalid UTF-8 in an
    event's data becomes U+FFFD.
    """

    def __init__(self) -> None:
        super().__init__()
        self._after_cr = False
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[SseEvent]:
        if self._after_cr or b"\r" in data:
            data = self._without_cr(data)
        events: list[SseEvent] = []
        for line in self.split(data):
            if line.startswith(b"data: "):
                self._add(line[6:])
            elif line:
                self._field(line)
            elif self._data:
                events.append(self._event())
            else:
                self._name = b""
        return events

    def unread(self) -> bytes | None:
        """The start of an event's first line, taken back; None where more of an event was read.

        No more than 4 KiB, so that a line that comes byte by byte is not copied each time.
        """
        if self._data or self._name or self._after_cr or len(self._rest) > UNREAD_LIMIT:
            return None
        begun = bytes(self._rest)
        self._rest.clear()
        return begun

    def end(self) -> list[SseEvent]:
        """What a server left unfinished when it closed: the last event without its blank line.

        The standard drops it; we read it, since some servers end so after `[DONE]`.
        """
        return self.feed(b"\n\n")

    def _without_cr(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._add(value[1:] if value.startswith(b" ") else value)
        elif name == b"event":
            self._name = value.strip()

    def _add(self, value: bytes) -> None:
        self._data.append(value)
        self._size += len(value) + 1
        if self._size > LINE_LIMIT:
            raise UpstreamBroke("an event of the node's stream is over 1 MiB")

    def _event(self) -> SseEvent:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        event = (self._name, valid(data))
        self._name = b""
        self._data = []
        self._size = 0
        return event
