"""What is generated equals what the code makes now, and people are told of every field."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpl_router.inventory.load import load
from dpl_router.inventory.schema import json_schema, rendered
from dpl_router.inventory.types import RouterOptions

TOP = Path(__file__).parents[2]
TLS = TOP / "tests" / "router" / "upstreams" / "tls"


def fields(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if part.get("type") == "object":
            yield from part.get("properties", ())
        for inner in part.values():
            yield from fields(inner)


def test_the_schema_file_is_what_the_code_makes_now() -> None:
    """Otherwise: make render."""
    assert (TOP / "nodes.schema.json").read_text("utf-8") == rendered()


def test_every_field_of_the_schema_is_shown_in_nodes_yaml() -> None:
    text = (TOP / "nodes.yaml").read_text("utf-8")

    known = set(fields(json_schema()))
    missing = [name for name in known if not re.search(rf"\b{name}:", text)]

    assert len(known) > 20
    assert missing == []


def test_the_nodes_file_at_the_top_is_true_on_every_machine() -> None:
    inventory = load(TOP / "nodes.yaml", environ={})

    assert [node.name for node in inventory.nodes] == ["local"]
    assert inventory.notes == ()


def test_the_examples_in_nodes_yaml_are_right_once_uncommented(tmp_path: Path) -> None:
    text = (TOP / "nodes.yaml").read_text("utf-8")
    text = re.sub(r"(?m)^#(?=\S|  )", "", text)  # prose has one blank after its #
    (tmp_path / "secrets").mkdir()
    for name in ("exporter-ca.pem", "ca.pem", "me.pem"):
        shutil.copy(TLS / "cert.pem", tmp_path / name)
    shutil.copy(TLS / "key.pem", tmp_path / "me.key")
    (tmp_path / "secrets/gpu-1").write_text("x")
    path = tmp_path / "nodes.yaml"
    path.write_text(text)

    inventory = load(path, environ={"DPL_API_KEY": "k"})

    assert [node.name for node in inventory.nodes] == ["local", "gpu-1", "mac-mini", "rented"]
    assert inventory.nodes[1].api_key == "x"
    assert inventory.router == RouterOptions()
