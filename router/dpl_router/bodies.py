"""What clients send: a body that may be cut off, of JSON that may be none."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import InternalServerException

from dpl_router.errors import BadRequest, ClientGone
from dpl_router.loose_json import MALFORMED

Said = TypeVar("Said")
Wish = TypeVar("Wish", bound=msgspec.Struct)

MISSING = re.compile(r"Object missing required field `(\w+)`")


async def body_of(request: Request[Any, Any, Any]) -> bytes:
    """All of it. Raises: ClientGone; the framework takes a client that leaves for a bug."""
    try:
        return await request.body()
    except InternalServerException as error:
        raise ClientGone("the client left while it sent its request") from error


async def wish_of(request: Request[Any, Any, Any], kind: type[Wish]) -> Wish:
    """JSON of any or no content type; its defaults where there is no body.

    Raises: BadRequest, ClientGone.
    """
    body = await body_of(request)
    return decoded(partial(msgspec.json.decode, type=kind), body) if body.strip() else kind()


def decoded(decode: Callable[[bytes], Said], body: bytes) -> Said:
    """What `decode` reads. Raises: BadRequest, with the place in the body."""
    try:
        if not body.isascii():
            body.decode()
        return decode(body)
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8 (byte {error.start})") from error
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `")
        missing = MISSING.fullmatch(message)
        param = place.rstrip("`").removeprefix("$.") or (missing and missing[1])
        raise BadRequest(message, param=param or None) from error
    except MALFORMED as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
