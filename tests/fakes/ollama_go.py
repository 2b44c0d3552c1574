"""How a Go server reads requests and writes answers: types, texts of errors, durations, times.

Source: the recordings of Ollama 0.32.15 and 0.24.0 in tests/recordings/ollama.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

GIGA = 10**9
ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
INTEGERS = frozenset({"num_ctx", "num_predict", "num_keep", "num_batch", "num_gpu", "num_thread"})
INTEGERS |= {"seed", "top_k", "repeat_last_n"}

Fields = Mapping[str, str]
"""Name of a field -> its Go type; "messages.content" is that of an element."""


class Refusal(Exception):
    """An error of Ollama's. `late`: found after a stream had been promised."""

    def __init__(self, status: int, message: str, *, late: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.late = late


def written(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return "".join(ESCAPED.get(char, char) for char in text)


def stamp(nanoseconds: int) -> str:
    """RFC 3339 with as many decimals as it takes, up to nine."""
    second, rest = divmod(nanoseconds, GIGA)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def seconds(value: Any) -> float:
    """A `keep_alive`: numbers are seconds, below zero is for ever. Raises: Refusal."""
    if isinstance(value, bool):
        raise Refusal(400, "Unsupported type: 'bool'")
    if isinstance(value, int | float):
        return math.inf if value < 0 else float(value)
    if not isinstance(value, str):
        raise Refusal(400, f"Unsupported type: '{kind(value)}'")
    bare = value.lstrip("+-")
    if re.fullmatch(r"[0-9]+\.?[0-9]*", bare):
        raise Refusal(400, f"time: missing unit in duration {written(value)}")
    if not bare or DURATION.sub("", bare):
        raise Refusal(400, f"time: invalid duration {written(value)}")
    if value.startswith("-"):
        return math.inf
    return sum(float(amount) * UNITS[unit] for amount, unit in DURATION.findall(bare))


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "number"


def fits(value: Any, go: str) -> bool:
    if value is None or go == "any":
        return True
    if go.startswith("[]") or go == "api.Tools":
        return isinstance(value, list)
    if go.startswith("map"):
        return isinstance(value, dict)
    if go == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return kind(value) == {"string": "string", "bool": "bool"}.get(go, "object")


def parsed(body: bytes, *, nothing: str) -> Any:
    """The JSON value in `body`; what follows it is ignored. Raises: Refusal."""
    text = body.decode("utf-8", "replace").strip(" \t\r\n")
    if not text:
        raise Refusal(400, nothing)
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated") or error.pos >= len(text) - 1 > 0 or text == "{":
            raise Refusal(400, "unexpected EOF") from None
        char = text[error.pos]
        shown = char if char.isprintable() else f"\\x{ord(char):02x}"
        raise Refusal(400, f"invalid character '{shown}' looking for beginning of value") from None


def read(body: bytes, struct: str, fields: Fields, *, nothing: str) -> dict[str, Any]:
    """The object in `body`, its types checked as Go does. Raises: Refusal."""
    value = parsed(body, nothing=nothing)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal(400, f"json: cannot unmarshal {kind(value)} into Go value of type {struct}")
    for name, one in value.items():
        check(struct, name, one, fields)
        if isinstance(one, list):
            for element in one:
                check_element(struct, name, element, fields)
    return value


def check(struct: str, name: str, value: Any, fields: Fields) -> None:
    go = fields.get(name, "any")
    if not fits(value, go):
        told = f"{struct.rpartition('.')[2]}.{name}"
        raise Refusal(
            400, f"json: cannot unmarshal {kind(value)} into Go struct field {told} of type {go}"
        )


def check_element(struct: str, name: str, element: Any, fields: Fields) -> None:
    whole = fields.get(name, "")
    if whole.endswith("Message") and not isinstance(element, dict):
        check(struct, name, element, {name: whole[2:]})
    if not isinstance(element, dict):
        return
    for inner, value in element.items():
        check(struct, f"{name}.{inner}", value, fields)
    for image in element.get("images") or ():
        check_image(image)


def check_image(image: Any) -> None:
    """Raises: Refusal, where it is no base64."""
    try:
        base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise Refusal(400, "illegal base64 data at input byte 0") from None


def check_options(options: Mapping[str, Any]) -> None:
    """Raises: Refusal (with status 500: so does a real one)."""
    for name in INTEGERS & options.keys():
        if isinstance(options[name], bool) or not isinstance(options[name], int | float):
            raise Refusal(500, f'option "{name}" must be of type integer')
