"""What one client may cost: seconds, bytes, connections (design: reliability 4.4 and 4.8)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """A time-out may come late by `look_seconds`, at which all connections are looked at."""

    look_seconds: float = 1.0
    head_seconds: float = 10.0
    """From the first byte of a request to the end of its headers."""
    idle_seconds: float = 75.0
    """Between two requests on one connection."""
    body_seconds: float = 30.0
    """Between two pieces of a request's body."""
    stall_seconds: float = 15.0
    """Without reading anything of an answer that waits."""
    part_seconds: float = 2.0
    """For a client to take in an answer that came before its request was all here."""
    head: int = 64 * 1024
    """Bytes of request line and headers; also of chunk sizes and trailers between body bytes."""
    headers: int = 256
    read_ahead: int = 256 * 1024
    """Bytes of body that the application has not taken."""
    write_ahead: int = 64 * 1024
    """Bytes of answer that the client has not read, from which on the application waits."""
    pipelined: int = 64
    """Requests that wait for the answers of those before them; those after them are refused."""
    connections: int = 4096
