"""cordons.json: whole or not at all, and never thrown away unread."""

import json
import stat
from pathlib import Path

import pytest
import structlog.testing
from prometheus_client import CollectorRegistry

from dpl_router.errors import ConfigError
from dpl_router.metrics import RouterMetrics
from dpl_router.nodes.cordon_file import CordonFile
from dpl_router.nodes.cordoning import Cordoning
from dpl_router.nodes.cordons import Cordon

OPERATOR = Cordon("a", "operator", "ann", "fan", since=1.0)
ALERT = Cordon("b", "alert", "DplGpuMissing", "lost", 1.0, 181.0, "f1", gpu="0", resolved=True)


def kept(folder: Path) -> Cordoning:
    metrics = RouterMetrics(CollectorRegistry()).alerting
    return Cordoning(CordonFile(folder / "cordons.json"), lambda: 100.0, metrics)


def test_all_of_a_cordon_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = CordonFile(tmp_path / "data" / "cordons.json")
    file.save([OPERATOR, ALERT])

    assert file.load() == [OPERATOR, ALERT]
    assert stat.S_IMODE((tmp_path / "data" / "cordons.json").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cordons.json"]


def test_without_a_file_nobody_is_cordoned(tmp_path: Path) -> None:
    assert CordonFile(tmp_path / "cordons.json").load() == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"version": 1}', b"\xff\xfe", b"[" * 100_000, b'{"cordons": 1}'],
    ids=["empty", "cut", "list", "none", "binary", "deep", "number"],
)
def test_a_file_that_is_none_is_told_and_put_aside(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "cordons.json"
    path.write_bytes(body)

    with structlog.testing.capture_logs() as told:
        found = CordonFile(path).load()

    assert found == []
    assert (tmp_path / "cordons.bad-1").read_bytes() == body
    assert not path.exists()
    assert told[0]["event"] == "cordons file is not whole"
    assert told[0]["aside"] == str(tmp_path / "cordons.bad-1")


def test_the_good_part_of_a_damaged_file_counts_and_the_whole_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "cordons.json"
    file = CordonFile(path)
    file.save([OPERATOR, ALERT])
    document = json.loads(path.read_text())
    document["cordons"][1]["until"] = None  # an alert's would then never end
    document["cordons"].append({"node": 7})
    for odd in (1e300, -1):  # no page could write such a time
        document["cordons"].append({**document["cordons"][0], "node": "c", "since": odd})
    path.write_text(json.dumps(document))

    found = file.load()

    assert found == [OPERATOR]
    assert json.loads((tmp_path / "cordons.bad-1").read_text()) == document
    assert file.load() == [OPERATOR]


def test_a_second_bad_file_takes_another_name(tmp_path: Path) -> None:
    path = tmp_path / "cordons.json"
    for body in ("one", "two"):
        path.write_text(body)
        CordonFile(path).load()

    assert (tmp_path / "cordons.bad-1").read_text() == "one"
    assert (tmp_path / "cordons.bad-2").read_text() == "two"


def test_a_file_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    """Else nodes that people took out would serve again."""
    (tmp_path / "cordons.json").mkdir()

    with pytest.raises(ConfigError, match="who is cordoned"):
        CordonFile(tmp_path / "cordons.json").load()


async def test_a_cordon_outlasts_the_router(tmp_path: Path) -> None:
    saved = await kept(tmp_path).by_operator("a", "ann", "fan")

    again = kept(tmp_path)
    lifted, gone = await again.lift_all("a")

    assert saved
    assert gone
    assert [(one.by, one.why, one.since) for one in lifted] == [("ann", "fan", 100.0)]
    assert kept(tmp_path).now.all() == ()


async def test_what_the_disk_does_not_take_holds_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "cordons.new").mkdir()
    cordoning, heard = kept(tmp_path), list[frozenset[str]]()
    cordoning.told = heard.append

    saved = await cordoning.by_operator("a", "ann", "")
    (tmp_path / "cordons.new").rmdir()
    later = await cordoning.saved()

    assert (saved, later) == (False, True)
    assert heard == [{"a"}]
    assert [one.node for one in kept(tmp_path).now.all()] == ["a"]
