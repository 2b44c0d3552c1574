"""What both directions read out of a client's body, with the place named where it is wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dpl_router.errors import BadRequest
from dpl_router.loose_json import MALFORMED

Fields = dict[str, Any]
"""A JSON object as it was decoded."""

DATA = "data:"
MIME_OF_BASE64 = (
    ("iVBOR", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGO", "image/gif"),
    ("UklGR", "image/webp"),
    ("Qk", "image/bmp"),
)
"""How base64 of an image of this type begins."""


def text_at(value: Any, place: str) -> str:
    """Raises: BadRequest, where it is neither text nor null."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequest(f"{place} is not text", param=place)
    return value


def number_at(value: Any, place: str) -> int | float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise BadRequest(f"{place} is not a number", param=place)


def list_at(value: Any, place: str) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadRequest(f"{place} is not a list", param=place)
    return value


def object_at(value: Any, place: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest(f"{place} is not an object", param=place)
    return value


def objects_at(value: Any, place: str) -> list[tuple[Mapping[str, Any], str]]:
    """The objects of a list, each with its place."""
    return [
        (object_at(one, f"{place}[{at}]"), f"{place}[{at}]")
        for at, one in enumerate(list_at(value, place))
    ]


def json_object(text: str, place: str) -> Mapping[str, Any]:
    """The object that `text` is as JSON; nothing is an empty one."""
    try:
        said = msgspec.json.decode(text) if text.strip() else {}
    except MALFORMED:
        raise BadRequest(f"{place} is not JSON", param=place) from None
    return object_at(said, place)


def base64_of(url: str, place: str) -> str:
    """The base64 inside a `data:` URL.

    Raises: BadRequest for any other: an Ollama node fetches nothing.
    """
    head, comma, data = url.partition(",")
    if not head.startswith(DATA) or not comma or not head.endswith(";base64"):
        raise BadRequest(
            f"{place}: the node takes images as data: URLs with base64 only, it fetches none",
            param=place,
        )
    return data


def data_url(image: str) -> str:
    """The `data:` URL of an image in base64, whose type is told by its first bytes."""
    if image.startswith(DATA):
        return image
    mime = next((mime for begin, mime in MIME_OF_BASE64 if image.startswith(begin)), "image/png")
    return f"{DATA}{mime};base64,{image}"


def copied(body: Mapping[str, Any], names: Sequence[str]) -> Fields:
    """Those fields of `body` that it has and that are not null."""
    return {name: body[name] for name in names if body.get(name) is not None}
