"""Whatever somebody's editor does to a file: it loads, or it is told where it is wrong."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from dpl_router.inventory.load import load
from dpl_router.inventory.mistakes import InventoryError, Mistake
from dpl_router.inventory.types import Inventory
from tests.router.inventory.files import GOOD

PIECES = st.sampled_from(
    ["\t", "  ", "\n", ":", "- ", "*a", "&a ", "{", "]", '"', "'", "|", "!!int ", "null", "1e999",
     "2026-02-31", "0o9", "\x00", "\u2028", "\ud7ff", "\U0001f600", "<<: ", "? ", "%YAML", "---\n",
     "url", "name: ", "http://", "169.254.1.1", "9" * 5000, "nodes:", "~", "${X}", "file:"]
)  # fmt: skip


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """GOOD with up to four pieces put in, taken out or doubled."""
    data = GOOD.encode()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        put = draw(
            st.one_of(PIECES.map(str.encode), st.binary(max_size=6), st.just(data[start:end]))
        )
        keep = draw(st.sampled_from([start, end]))
        data = data[:start] + put + data[keep:]
    return data


def outcome(data: bytes) -> Inventory | tuple[Mistake, ...]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "nodes.yaml"
        path.write_bytes(data)
        try:
            return load(path, environ={})
        except InventoryError as error:
            return error.mistakes


@given(bent())
def test_a_bent_file_loads_or_its_mistakes_lie_inside_it(data: bytes) -> None:
    result = outcome(data)

    if isinstance(result, Inventory):
        assert all(node.name and node.url for node in result.nodes)
        return
    assert result
    for mistake in result:
        assert mistake.line is None or 1 <= mistake.line <= data.count(b"\n") + 1
        assert str(mistake).isprintable()
