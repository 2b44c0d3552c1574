"""What a page of another site may not do through its visitor's browser (api.md section 2).

A call without `Origin`, `Referer` and `Sec-Fetch-*` comes from no browser and needs nothing.
"""

from collections.abc import Mapping

from dpl_router.errors import NotAllowed

Headers = Mapping[bytes, bytes]
"""As ASGI gives them: names in small letters."""

READS = frozenset({"GET", "HEAD", "OPTIONS"})
SITE = b"sec-fetch-site"
OURS = frozenset({b"same-origin", b"none"})
MARKS = frozenset({b"origin", b"referer", SITE, b"sec-fetch-mode", b"sec-fetch-dest"})


PAGES = frozenset({"/", "/chat", "/schema", "/events"})
REQUESTS = "/requests/"


def cookie_counts(method: str, path: str, headers: Headers) -> bool:
    """On pages, and on calls that only our own pages can make: no foreign page can send `X-CSRF`
    without a preflight, and those are refused."""
    page = path in PAGES or path.startswith(REQUESTS)
    return (page and method in READS) or headers.get(b"x-csrf") == b"1"


def refuse_foreign(headers: Headers) -> None:
    """Raises: NotAllowed for a call from a page of another origin (`null` is one, too)."""
    origin = headers.get(b"origin")
    if origin is None:
        return
    host = origin.partition(b"://")[2].lower()
    if not host or host != headers.get(b"host", b"").lower():
        raise _foreign()


def refuse_foreign_form(headers: Headers) -> None:
    """Likewise, and for what the browser itself calls another site's: of an open form nothing else
    tells whose it is where `Origin` was taken away."""
    if headers.get(SITE, b"none") not in OURS:
        raise _foreign()
    refuse_foreign(headers)


def _foreign() -> NotAllowed:
    return NotAllowed("a page of another site may not call this one")


def refuse_unproven(method: str, headers: Headers) -> None:
    """Raises: NotAllowed for a change that a browser sends without `X-CSRF: 1`.

    For routers without keys, where the caller's address is all that lets it in. No foreign page
    can send that header: it would need a preflight, and those are refused.
    """
    if MARKS.isdisjoint(headers) or method in READS or headers.get(b"x-csrf") == b"1":
        return
    raise NotAllowed("a page that changes something sends the header X-CSRF: 1")
