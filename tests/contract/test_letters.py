"""What Alertmanager writes by exists: amtool does not look a template's name up, and a real one
drops the message."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2] / "alertmanager"
FILES = sorted(path for path in ROOT.rglob("*") if path.suffix in {".yml", ".tmpl"})
DEFINED = {
    name
    for path in ROOT.glob("templates/*.tmpl")
    for name in re.findall(r'\{\{-? *define "([^"]+)"', path.read_text("utf-8"))
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_template_that_is_asked_for_is_written(file: Path) -> None:
    asked = set(re.findall(r'\{\{-? *template "([^"]+)"', file.read_text("utf-8")))

    assert asked <= DEFINED, f"{file.name}: alertmanager/templates has {sorted(DEFINED)}"


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/*.yml")), ids=lambda file: file.stem)
def test_an_example_takes_its_texts_from_our_templates(file: Path) -> None:
    """A text without its templates would not be found where `templates` were forgotten."""
    document = yaml.safe_load(file.read_text("utf-8"))
    speaks = any('template "' in text for text in texts(document))

    assert ("templates" in document) >= speaks


def texts(part: object) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    for inner in (
        part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    ):
        yield from texts(inner)
