"""Bodies of the fleet's calls: JSON of any or no content type, or none at all."""

from typing import Any, TypeVar

import msgspec
from litestar import Request

from dpl_router.errors import BadRequest

Wish = TypeVar("Wish", bound=msgspec.Struct)


async def wish_of(request: Request[Any, Any, Any], kind: type[Wish]) -> Wish:
    """Its defaults where there is no body. Raises: BadRequest."""
    body = await request.body()
    if not body.strip():
        return kind()
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `")
        raise BadRequest(message, param=place.rstrip("`").removeprefix("$.") or None) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
