"""A node's base url, taken apart."""

import pytest

from dpl_router.upstreams.origin import Origin


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("http://10.0.0.5:8080", Origin("http", "10.0.0.5", 8080), "10.0.0.5:8080"),
        ("https://gpu.lan", Origin("https", "gpu.lan", 443), "gpu.lan"),
        ("http://h:80/base/", Origin("http", "h", 80, "/base"), "h"),
        ("http://[::1]:9/", Origin("http", "::1", 9), "[::1]:9"),
    ],
)
def test_a_url_is_taken_apart(url: str, origin: Origin, authority: str) -> None:
    parsed = Origin.parse(url)

    assert parsed == origin
    assert parsed.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h",
        "h:8080",
        "http://",
        "http://u:p@h",
        "http://h/?q=1",
        "http://h/#x",
        "http://h:port",
        "http://h:99999",
        "http://h/a b",
        "http://h/\r\nX: y",
        "http://hé",
    ],
)
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Origin.parse(url)
