"""A form with a file, read so strictly that no node can read another model in it than we did.

Source: RFC 7578 and 2046. What their readers are known to differ in is refused: Go's decodes
quoted-printable parts, Python's take a bare LF for a line's end, some read `boundary*`.
"""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from dpl_router.errors import BadRequest, Unsupported

MAX_PARTS = 1000
"""Go reads no more either."""
READ = frozenset({b"model", b"stream"})
AS_IT_IS = frozenset({b"7bit", b"8bit", b"binary"})

PARAMETER = re.compile(
    r"[ \t]*;[ \t]*([\w!#$&+.^`|~-]+)="
    r'(?:"([^"\\\x00-\x08\x0a-\x1f\x7f]*)"|([\w!#$%&\'*+.^`|~/:=?-]+))',
    re.ASCII,
)
BOUNDARY = re.compile(r"[\w'+\-./:=?]{1,70}", re.ASCII)
TOKEN = re.compile(r"[\w'+\-.]+", re.ASCII)

LINE = re.compile(rb"([\w!#$%&'*+.^`|~-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
DISPOSITION = re.compile(
    rb'form-data[ \t]*;[ \t]*name=(?:"([^"\\]*)"|([\w!#$%&\'*+.^`|~-]+))'
    rb'([ \t]*;[ \t]*filename=(?:"[^"]*(?<!\\)"|[\w!#$%&\'*+.^`|~-]+))?'
    rb"([ \t]*;[ \t]*filename\*=[\w!#$%&'+.^`|~-]+)?[ \t]*",
    re.IGNORECASE,
)


class Form(Struct):
    """Of a form what the router must know."""

    content_type: str
    """In our own spelling, for the node."""
    fields: Mapping[bytes, tuple[int, int]]
    """Where in the body the values of `READ` start and end; absent where the form has none."""


def read_form(body: bytes, content_type: str) -> Form:
    """Raises: Unsupported where it is no form, BadRequest where two could read it in two ways."""
    boundary = boundary_in(content_type)
    fields: dict[bytes, tuple[int, int]] = {}
    for start, end in parts(body, boundary.encode()):
        head_end = body.find(b"\r\n\r\n", start, end)
        name, is_file = named(body[start : max(start, head_end)])
        meant = name.strip().lower()
        if meant not in READ:
            continue
        if name != meant or name in fields or is_file:
            raise BadRequest(f"send one field `{meant.decode()}`, written so", param=meant.decode())
        fields[name] = (head_end + 4, end)
    told = boundary if TOKEN.fullmatch(boundary) else f'"{boundary}"'
    return Form(f"multipart/form-data; boundary={told}", fields)


def boundary_in(content_type: str) -> str:
    """Raises: Unsupported, BadRequest."""
    media = content_type.partition(";")[0]
    if media.strip(" \t").lower() != "multipart/form-data":
        raise Unsupported("send multipart/form-data with a boundary")
    found: list[str] = []
    at = len(media.rstrip(" \t"))
    while parameter := PARAMETER.match(content_type, at):
        if parameter[1].lower() == "boundary":
            found.append(parameter[2] if parameter[3] is None else parameter[3])
        at = parameter.end()
    if content_type[at:].strip(" \t") or len(found) > 1:
        raise BadRequest("the form's Content-Type can be read in two ways")
    if not found:
        raise Unsupported("send multipart/form-data with a boundary")
    if not BOUNDARY.fullmatch(found[0]):
        raise BadRequest("the form's boundary is not as RFC 2046 writes it")
    return found[0]


def parts(body: bytes, boundary: bytes) -> Iterator[tuple[int, int]]:
    """Where each part starts and ends, without the line of its boundary. Raises: BadRequest."""
    edge = b"\r\n--" + boundary
    edges = body.count(edge) + 1
    # A reader that takes a bare LF or CR for a line's end must find no other edges than we do.
    plain = body.count(edge[1:]) == edges - 1 and edge[:1] + edge[2:] not in body
    if not plain or not body.startswith(edge[2:]):
        raise BadRequest("the form is not whole, or not as RFC 7578 writes it")
    if edges > MAX_PARTS + 1:
        raise BadRequest(f"the form has over {MAX_PARTS} parts")
    at = len(edge) - 2
    while body.startswith(b"\r\n", at):
        end = body.find(edge, at)
        if end < 0:
            break
        yield at + 2, end
        at = end + len(edge)
    if body[at : at + 5] not in (b"--", b"--\r\n"):
        raise BadRequest("the form is not whole, or not as RFC 7578 writes it")


def named(head: bytes) -> tuple[bytes, bool]:
    """(name, whether it is a file) of a part. Raises: BadRequest."""
    said: dict[bytes, bytes] = {}
    for text in head.split(b"\r\n"):
        line = LINE.fullmatch(text)
        if line is None or line[1].lower() in said:
            raise BadRequest("the head of a part of the form is not as RFC 7578 writes it")
        said[line[1].lower()] = line[2]
    found = DISPOSITION.fullmatch(said.get(b"content-disposition", b""))
    if found is None:
        raise BadRequest("a part of the form has no plain name")
    encoding = said.get(b"content-transfer-encoding", b"binary").strip().lower()
    if encoding not in AS_IT_IS:
        raise BadRequest("a part of the form is encoded; send it as it is")
    name = found[2] if found[1] is None else found[1]
    return name, found[3] is not None or found[4] is not None
