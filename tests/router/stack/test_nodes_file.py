"""The stack's own nodes file: ours until somebody edits it."""

import os
from pathlib import Path

import pytest

from dpl_router.inventory.load import load
from dpl_router.stack.nodes_file import LocalNode, settle

LOCAL = LocalNode("local", "http://127.0.0.1:8080", "http://127.0.0.1:8001")
MOVED = LocalNode("local", "http://127.0.0.1:8081", "http://127.0.0.1:8002")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "nodes.yaml"


def test_what_is_written_is_a_right_nodes_file(file: Path) -> None:
    assert settle(file, [LOCAL]) == []

    (node,) = load(file, os.environ).nodes
    assert (node.name, node.url, node.exporter) == ("local", LOCAL.url, LOCAL.exporter)


def test_what_is_written_says_where_all_fields_are(file: Path) -> None:
    settle(file, [LOCAL])

    said = file.read_text().replace("\n# ", " ")
    assert "All fields: nodes.yaml in the repository, `dpl config schema`." in said


def test_a_file_that_nobody_touched_follows_the_stack(file: Path) -> None:
    settle(file, [LOCAL])

    assert settle(file, [MOVED]) == []

    (node,) = load(file, os.environ).nodes
    assert node.url == MOVED.url


def test_an_edit_is_kept(file: Path) -> None:
    settle(file, [LOCAL])
    edited = file.read_text() + "  - name: gpu-1\n    url: http://10.0.0.5:11434  # the big one\n"
    file.write_text(edited)

    for _ in range(3):
        assert settle(file, [LOCAL]) == []

    assert file.read_text() == edited


def test_ports_that_moved_are_changed_in_an_edited_file(file: Path) -> None:
    settle(file, [LOCAL])
    file.write_text(file.read_text() + "  - {name: gpu-1, url: 'http://127.0.0.1:80801'}\n")

    (told,) = settle(file, [MOVED])

    assert "ports have moved" in told
    text = file.read_text()
    assert "url: http://127.0.0.1:8081\n" in text
    assert "exporter: http://127.0.0.1:8002\n" in text
    assert "http://127.0.0.1:80801" in text


def test_two_nodes_may_swap_their_ports(file: Path) -> None:
    one = LocalNode("demo-1", "http://127.0.0.1:8080", "http://127.0.0.1:8001")
    two = LocalNode("demo-2", "http://127.0.0.1:8081", "http://127.0.0.1:8002")
    settle(file, [one, two])
    file.write_text(file.read_text() + "# mine\n")

    settle(
        file,
        [LocalNode("demo-1", two.url, two.exporter), LocalNode("demo-2", one.url, one.exporter)],
    )

    nodes = {node.name: node.url for node in load(file, os.environ).nodes}
    assert nodes == {"demo-1": two.url, "demo-2": one.url}


def test_an_edited_file_that_lists_our_node_no_more_is_told_what_to_add(file: Path) -> None:
    settle(file, [LOCAL])
    file.write_text("version: 1\nnodes:\n  - {name: gpu-1, url: 'http://10.0.0.5:11434'}\n")

    (told,) = settle(file, [LOCAL])

    assert "does not list http://127.0.0.1:8080" in told
    assert "- {name: local, url: http://127.0.0.1:8080" in told


def test_a_memory_that_is_broken_makes_the_file_count_as_edited(file: Path) -> None:
    settle(file, [LOCAL])
    file.with_name("written.json").write_text("{")
    before = file.read_text()

    settle(file, [MOVED])

    assert file.read_text() == before
