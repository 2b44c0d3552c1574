"""JSON as clients and nodes really send it: half emojis, odd values, errors that are none.

Reading is by msgspec into small structs: what is not named there is skipped, not kept. Changing is
by `Raw` fields: what is not named stays byte for byte, in its order.
"""

import re
import struct
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

Fields = dict[str, Raw]
Read = TypeVar("Read")

OBJECT = msgspec.json.Decoder(dict[str, Any])
FIELDS = msgspec.json.Decoder(Fields)
FIELD_LISTS = msgspec.json.Decoder(list[Fields])

MALFORMED = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What msgspec raises over text or bytes that are no JSON, or none of the shape that is read."""
ODD = (
    *(TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError),
    *(msgspec.MsgspecError, struct.error),
)
"""What code raises that meets a value of another kind than the protocol's."""
NO_ERROR = frozenset({b"null", b"false", b"0", b'""', b"[]"})
"""What stands in `error` where nothing is wrong."""

LONE_SURROGATE = re.compile(
    rb"(?<!\\)((?:\\\\)*)"
    rb"(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))


NULL = raw(None)


def is_error(said: Raw | UnsetType) -> bool:
    """Whether a field `error` tells one."""
    return said is not UNSET and bytes(said) not in NO_ERROR


def without_lone_surrogates(data: bytes) -> bytes:
    """Half an emoji, escaped (a server that cuts UTF-16 in two), becomes U+FFFD.

    No client in Python could write it out, and msgspec does not read it.
    """
    return LONE_SURROGATE.sub(lambda hit: hit[1] + (hit[2] or rb"\ufffd"), data)


def readable(decode: Callable[[bytes], Read], data: bytes) -> tuple[Read, bytes]:
    """What `decode` makes of `data`, which may hold half emojis. Raises: one of `MALFORMED`."""
    try:
        return decode(data), data
    except MALFORMED:
        data = without_lone_surrogates(data)
        return decode(data), data
