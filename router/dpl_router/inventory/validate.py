"""A document against its schema: every mistake, in words that say what to write instead."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema

from dpl_router.inventory.document import Document, Place, spelled


@dataclass(frozen=True, slots=True)
class Words:
    """Names that a file may hold although its schema does not know them."""

    later: frozenset[str] = frozenset()
    """A later release acts on these."""
    spellings: Mapping[str, str] = field(default_factory=dict)
    """Another project's word -> ours."""

    def hint(self, name: str, known: list[str]) -> str:
        if name in self.later:
            return "it comes with a later release"
        if self.spellings.get(name) in known:
            return f'here it is called "{self.spellings[name]}"'
        near = difflib.get_close_matches(name.lower(), [*known, *sorted(self.later)], 1, 0.6)
        if not near:
            return f"known here: {', '.join(known)}"
        wait = " (it comes with a later release)" if near[0] in self.later else ""
        return f'did you mean "{near[0]}"?{wait}'


@dataclass(frozen=True, slots=True)
class Field:
    """What the schema says of a place. `secret`: its value is never repeated."""

    description: str = ""
    secret: bool = False


def validate(document: Document, schema: Mapping[str, Any], words: Words) -> Any:
    """The document's value without its mistaken parts, which are noted in `document`.

    What is left is right by the schema, but required fields may be missing.
    """
    wrong: list[Place] = []
    told = {mistake.path for mistake in document.mistakes}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(document.value):
        place: Place = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            wrong += _unknown_fields(document, place, error, words)
        elif error.validator == "required":
            _missing_field(document, place, error, schema)
        elif "propertyNames" in error.absolute_schema_path:
            wrong.append((*place, error.instance))
            about = _small(described(schema, place).description)
            document.wrong_field(wrong[-1], "is no name for a field here", about)
        else:
            wrong.append(place)
            if spelled(place) in told:
                continue
            _wrong_value(document, place, error.instance, described(schema, place))
    return _without(document.value, wrong)


def described(schema: Mapping[str, Any], place: Place) -> Field:
    """What the innermost described field on the way to `place` says."""
    found = Field()
    part: Mapping[str, Any] = _resolved(schema, schema)
    for step in place:
        if isinstance(step, int):
            part = part.get("items") or {}
        else:
            part = part.get("properties", {}).get(step) or part.get("additionalProperties") or {}
        if "description" in part:
            found = Field(part["description"], part.get("writeOnly", False))
        part = _resolved(schema, part)
    return found


def _resolved(schema: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in part:
        return part
    name = part["$ref"].removeprefix("#/$defs/")
    target: Mapping[str, Any] = schema["$defs"][name]
    return target


def _unknown_fields(
    document: Document, place: Place, error: jsonschema.ValidationError, words: Words
) -> Iterable[Place]:
    fields: Any = error.instance
    known = list(error.schema["properties"]) if isinstance(error.schema, dict) else []
    for name in [name for name in fields if name not in known]:
        document.wrong_field((*place, name), "unknown field", words.hint(name, known))
        yield (*place, name)


def _missing_field(
    document: Document,
    place: Place,
    error: jsonschema.ValidationError,
    schema: Mapping[str, Any],
) -> None:
    """Each missing field is an error of its own that names it only in its message."""
    name = error.message.split("'")[1]
    field_ = described(schema, (*place, name))
    document.wrong(place, f'the field "{name}" is missing', _small(field_.description))


def _wrong_value(document: Document, place: Place, value: object, field_: Field) -> None:
    hint = _small(field_.description)
    if field_.secret:
        document.wrong(place, "a secret does not stand here itself", hint)
    elif value is None:
        document.wrong(place, "has no value", hint)
    elif isinstance(value, bool) and "true or false" not in field_.description:
        said = str(value).lower()
        document.wrong(place, f"YAML reads this as {said}; put text in quotes", hint)
    else:
        document.wrong(place, f"{shown(value)} does not fit", hint)


def shown(value: object) -> str:
    """A value in a message: short, and without control characters."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _small(sentence: str) -> str:
    """A description as the second half of a line."""
    sentence = sentence.removesuffix(".")
    return sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() else sentence


def _without(value: Any, places: Iterable[Place], at: Place = ()) -> Any:
    """A copy without what stands at `places`; a list keeps its other items' order only."""
    gone = set(places)
    if at in gone:
        return None
    if isinstance(value, dict):
        return {
            name: _without(part, gone, (*at, name))
            for name, part in value.items()
            if (*at, name) not in gone
        }
    if isinstance(value, list):
        return [_without(part, gone, (*at, index)) for index, part in enumerate(value)]
    return value
