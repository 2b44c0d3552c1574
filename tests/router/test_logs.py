"""No secret in any log line."""

import pytest

from dpl_router.logs import redact, without_secrets

KEY = "dpl_" + "a" * 40


@pytest.mark.parametrize(
    "text",
    [
        f"authorization: Bearer {KEY}",
        f"headers={{'authorization': 'Bearer {KEY}'}}",
        f"the key {KEY} is wrong",
        f"http://me:{KEY}@node:8000/v1",
        "Bearer abc.def.ghi-secret",
    ],
)
def test_a_secret_is_taken_out_wherever_it_stands(text: str) -> None:
    said = without_secrets(text)

    assert KEY not in said
    assert "ghi-secret" not in said
    assert "***" in said


def test_what_is_no_secret_is_kept() -> None:
    event = redact(None, "info", {"event": "node checked", "node": "dpl_box", "seconds": 3.1})

    assert event == {"event": "node checked", "node": "dpl_box", "seconds": 3.1}
