"""What a client gets of each odd stream in tests/recordings/mistakes: as its MISTAKES.md says."""

from collections.abc import Sequence

GOOD: Sequence[tuple[str, str, str, str]] = [
    ("01-empty-choices-first-chunk.sse", "Hello", "", "stop"),
    ("02-usage-chunk-without-choices-key.sse", "Hello", "", "stop"),
    ("03-choices-null.sse", "Hello", "", "stop"),
    ("04-delta-null.sse", "Hello", "", "stop"),
    ("05-finish-reason-empty-string.sse", "Hello", "", "stop"),
    ("07-finish-reason-with-content.sse", "Hello", "", "length"),
    ("08-finish-reason-key-missing.sse", "Hello", "", "stop"),
    ("10-finish-reason-stop-on-reasoning.sse", "Hello", "We need to greet.", "stop"),
    ("11-tool-calls-finish-truncated-arguments.sse", "", "", "tool_calls"),
    ("12-done-missing.sse", "Hello", "", "stop"),
    ("13-data-without-space.sse", "Hello", "", "stop"),
    ("19-keepalive-comment-with-id.sse", "Hel", "", "stop"),
    ("20-keepalive-wrapped-as-data.sse", "Hello", "", "stop"),
    ("22-crlf.sse", "Hello", "", "stop"),
    ("25-bom.sse", "Hello", "", "stop"),
    ("27-utf8-broken-by-server.sse", "\ufffd\ufffd\ufffd", "", "stop"),
    ("28-u2028-in-content.sse", "a\u2028b\u2029c\x85d", "", "stop"),
    ("29-multi-line-data.sse", "Hello", "", "stop"),
    ("31-event-over-64k.sse", "x" * 66_000, "", "stop"),
    ("33-ndjson-where-sse-expected.ndjson", "Hello", "", "stop"),
    ("36-json-where-sse-expected.json", "Hello", "", "stop"),
    ("38-role-in-every-chunk.sse", "Hello", "", "stop"),
    ("39-content-null.sse", "Hello", "Hm", "stop"),
    ("40-reasoning-three-names.sse", "Hello", "abc", "stop"),
    ("41-tool-index-missing.sse", "", "", "tool_calls"),
    ("43-tool-index-starts-at-one.sse", "", "", "tool_calls"),
    ("45-tool-id-and-name-empty-strings.sse", "", "", "tool_calls"),
    ("47-usage-cumulative-in-every-chunk.sse", "Hello!", "", "stop"),
    ("50-no-id-no-created-no-finish-reason.sse", "Hello", "", "stop"),
]

BAD: Sequence[tuple[str, str]] = [
    ("16-error-type-message-keys.sse", "maximum context length"),
    ("17-error-without-type.sse", "Compute error"),
    ("18-event-error-named.sse", "Tool call validation failed"),
    ("32-html-page-200.html", "text/html"),
    ("34-ndjson-error-line.ndjson", "unexpected EOF"),
    ("37-unknown-endpoint-200.json", "Unexpected endpoint"),
]
