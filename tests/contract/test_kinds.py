"""One list of the kinds of nodes per product, and everything else that a kind needs."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest

from dpl_exporter.collectors import BACKENDS
from dpl_exporter.readers import LLM_KINDS
from dpl_router.inventory.schema import AUTO, Kind
from dpl_router.upstreams.dialects import DIALECTS

ROOT = Path(__file__).parents[2]


def words_in(file: str, pattern: str) -> frozenset[str]:
    """Of the first line of `file` that `pattern` matches."""
    found = re.search(pattern, (ROOT / file).read_text("utf-8"), re.MULTILINE)
    assert found, f"{file} has no line like {pattern}"
    return frozenset(re.findall(r"\w+", found[1]))


IN_CODE: Mapping[str, frozenset[str]] = {
    "Kind (router/dpl_router/inventory/schema.py)": frozenset(get_args(Kind)),
    "DIALECTS (router/dpl_router/upstreams/dialects.py)": frozenset(DIALECTS),
    "BACKENDS (exporter/dpl_exporter/collectors/__init__.py)": frozenset({AUTO, *BACKENDS}),
    "LLM_KINDS (exporter/dpl_exporter/readers.py)": frozenset(LLM_KINDS),
}
IN_WORDS: Mapping[str, frozenset[str]] = {
    "the comment on `kind` (nodes.yaml)": words_in("nodes.yaml", r"^#    kind: auto +# (.*)$"),
    "the row of `--llm-kind` (exporter/README.md)": words_in(
        "exporter/README.md", r"^\| `--llm-kind` \|[^|]*\|(.*)\|$"
    ),
}


@pytest.mark.parametrize("kind", sorted(frozenset().union(*IN_CODE.values())))
def test_every_kind_is_known_everywhere(kind: str) -> None:
    lacking = [place for place, kinds in {**IN_CODE, **IN_WORDS}.items() if kind not in kinds]

    assert not lacking, f"kind {kind} lacks a line in: {'; '.join(lacking)}"
