"""What a right file becomes."""

from pathlib import Path

import pytest

from dpl_router.inventory.types import Inventory, RouterOptions, Timeouts
from tests.router.inventory.files import GOOD, loaded, mistakes, node

TLS = Path(__file__).parents[1] / "upstreams" / "tls"


def test_a_name_and_a_url_are_all_that_is_required(tmp_path: Path) -> None:
    inventory = loaded(tmp_path, "version: 1\nnodes: [{name: a, url: 'http://[::1]:8080/'}]\n")

    (only,) = inventory.nodes
    assert (only.name, only.url, only.kind, only.slots) == ("a", "http://[::1]:8080", "auto", None)
    assert only.exporter == "http://[::1]:8001"
    assert only.timeouts == Timeouts(2.0, 120.0, 30.0, 1800.0)
    assert inventory.router == RouterOptions()
    assert inventory.notes == ()


def test_what_a_node_does_not_say_is_said_by_the_router_and_the_defaults(tmp_path: Path) -> None:
    text = (
        "version: 1\ndefaults: {slots: 3}\nrouter: {timeouts: {idle: 5m, connect: 250ms}}\n"
        "nodes:\n- {name: a, url: 'http://h', timeouts: {idle: 1h}}\n"
        "- {name: b, url: 'http://i', slots: auto}\n"
    )

    a, b = loaded(tmp_path, text).nodes

    assert (a.slots, b.slots) == (3, None)
    assert a.timeouts == Timeouts(connect=0.25, idle=3600.0)
    assert b.timeouts == Timeouts(connect=0.25, idle=300.0)


@pytest.mark.parametrize("text", [GOOD.encode("utf-8-sig"), GOOD.replace("\n", "\r\n")])
def test_a_windows_editor_may_save_it(tmp_path: Path, text: str | bytes) -> None:
    assert [node.name for node in loaded(tmp_path, text).nodes] == ["gpu-1", "mac"]


def test_anchors_may_save_writing(tmp_path: Path) -> None:
    text = (
        "version: 1\nnodes:\n- {name: a, url: 'http://h', labels: &l {rack: x}}\n"
        "- {name: b, url: 'http://i', labels: *l}\n"
    )

    assert loaded(tmp_path, text).nodes[1].labels == {"rack": "x"}


@pytest.mark.parametrize(
    ("written", "base", "cut"),
    [
        ("http://10.0.0.5:1/v1", "http://10.0.0.5:1", "/v1"),
        ("http://10.0.0.5:1/v1/", "http://10.0.0.5:1", "/v1"),
        ("http://10.0.0.5:1/api/chat", "http://10.0.0.5:1", "/api/chat"),
        ("http://10.0.0.5:1/v1/chat/completions", "http://10.0.0.5:1", "/v1/chat/completions"),
        ("HTTP://Box.lan/llm/v1", "http://box.lan/llm", "/v1"),
    ],
)
def test_an_endpoint_in_the_url_is_cut_with_a_note(
    tmp_path: Path, written: str, base: str, cut: str
) -> None:
    inventory = loaded(tmp_path, f"version: 1\nnodes:\n- {{name: a, url: '{written}'}}\n")

    assert inventory.nodes[0].url == base
    (note,) = inventory.notes
    assert f'nodes.yaml:3:18 nodes[0].url "{cut}" is cut off' in note


def test_two_nodes_behind_one_url_are_noted(tmp_path: Path) -> None:
    text = "version: 1\nnodes: [{name: a, url: 'http://h'}, {name: b, url: 'http://H/'}]\n"

    (note,) = loaded(tmp_path, text).notes

    assert "is also the url of a" in note


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("url: 'http://h:1'", "url: 'http://h:2'"),
        ("url: 'http://h:1'", "url: 'http://g', exporter: 'http://h:8001/'"),
        ("url: 'http://f', exporter: 'http://h:1'", "url: 'http://g', exporter: 'http://H:1'"),
    ],
)
def test_two_nodes_that_share_an_exporter_are_noted(
    tmp_path: Path, first: str, second: str
) -> None:
    """One exporter measures one engine: what it says is then believed of both."""
    text = f"version: 1\nnodes:\n- {{name: a, {first}}}\n- {{name: b, {second}}}\n"

    (note,) = loaded(tmp_path, text).notes

    assert "nodes.yaml:4:" in note
    assert "is also the exporter of a" in note


def test_pages_that_are_there_already_are_kept_as_urls(tmp_path: Path) -> None:
    told = "metrics: {node: '10.0.0.5:9100', dcgm: 'https://h/x/', engine: '10.0.0.5:1/own'}"

    (a,) = loaded(tmp_path, node(f"kind: vllm\n    {told}")).nodes

    assert a.metrics == {
        "node": "http://10.0.0.5:9100/metrics",
        "dcgm": "https://h/x",
        "engine": "http://10.0.0.5:1/own",
    }


def test_two_nodes_that_share_a_page_are_noted(tmp_path: Path) -> None:
    text = (
        "version: 1\nnodes:\n- {name: a, url: 'http://g', metrics: {node: 'h:9'}}\n"
        "- {name: b, url: 'http://i', metrics: {node: 'h:9'}}\n"
    )

    (note,) = loaded(tmp_path, text).notes

    assert "nodes.yaml:4:" in note
    assert "nodes[1].metrics.node is also a page of a" in note


@pytest.mark.parametrize("prefix", ["", "sha256:", "sha256-"])
def test_pinned_weights_are_kept_as_exporters_tell_them(tmp_path: Path, prefix: str) -> None:
    text = f"{node('kind: auto')}weights: {{'Qwen3:latest': '{prefix}A8CC1361F314{'0' * 52}'}}\n"

    assert loaded(tmp_path, text).weights == {"qwen3": "a8cc1361f314"}


def test_nodes_without_exporters_share_none(tmp_path: Path) -> None:
    text = (
        "version: 1\nnodes:\n- {name: a, url: 'http://h:1', exporter: none}\n"
        "- {name: b, url: 'http://h:2', exporter: none}\n- {name: c, url: 'http://h:3'}\n"
    )

    assert loaded(tmp_path, text).notes == ()


def secrets(inventory: Inventory) -> tuple[str | None, str | None]:
    return inventory.nodes[0].exporter_key, inventory.nodes[0].api_key


def test_secrets_come_from_the_environment_or_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    text = node("exporter_key: ${KEY}\n    api_key: file:key")

    inventory = loaded(tmp_path, text, {"KEY": "from-env"}, key="the routers")

    assert secrets(inventory) == ("from-env", "from-file")
    assert "from-" not in repr(inventory)


def test_an_exporter_is_shown_the_routers_key_unless_the_node_names_one(tmp_path: Path) -> None:
    assert secrets(loaded(tmp_path, node("kind: vllm"), key="k")) == ("k", None)
    assert secrets(loaded(tmp_path, node("exporter: none"), key="k")) == (None, None)


def test_certificates_lie_beside_the_file(tmp_path: Path) -> None:
    for name, made in (("ca.pem", "cert.pem"), ("me.pem", "cert.pem"), ("me.key", "key.pem")):
        (tmp_path / name).write_bytes((TLS / made).read_bytes())
    text = node(
        "exporter_tls: ${CA}\n    tls: {ca: file:ca.pem, cert: me.pem, key: me.key, verify: false}"
    )

    inventory = loaded(tmp_path, text, {"CA": "ca.pem"})

    tls = inventory.nodes[0].tls
    assert inventory.nodes[0].exporter_ca == tls.ca == tmp_path / "ca.pem"
    assert (tls.cert, tls.key, tls.verify) == (tmp_path / "me.pem", tmp_path / "me.key", False)
    assert "nodes[0].tls has no effect" in inventory.notes[0]


def test_a_link_local_node_is_taken_where_the_file_insists(tmp_path: Path) -> None:
    text = "version: 1\nnodes:\n- {name: a, url: 'http://169.254.7.7:1', allow_link_local: true}\n"

    assert loaded(tmp_path, text).nodes[0].exporter == "http://169.254.7.7:8001"


def test_one_name_may_stand_for_the_same_weights_on_different_servers(tmp_path: Path) -> None:
    text = (
        "version: 1\nnodes:\n"
        "- {name: a, url: 'http://h', aliases: {'qwen3:14b': Qwen3-14B.gguf, small: Qwen3-1B}}\n"
        "- {name: b, url: 'http://i', remote_models: true}\n"
    )

    a, b = loaded(tmp_path, text).nodes

    assert a.aliases == {"qwen3:14b": "Qwen3-14B.gguf", "small": "Qwen3-1B"}
    assert (a.remote_models, b.remote_models) == (False, True)
    assert b.aliases == {}


def test_aliases_that_lead_to_each_other_are_a_mistake_of_both(tmp_path: Path) -> None:
    told = mistakes(tmp_path, node("aliases: {a: b, b: a}"))

    assert len(told) == 2
    assert all("is an alias itself" in line for line in told)


def test_contexts_and_pulls_are_the_operators_word(tmp_path: Path) -> None:
    text = node("").rstrip() + "\nrouter: {contexts: {'qwen3:14b': 16384}, auto_pull: true}\n"

    router = loaded(tmp_path, text).router

    assert router.contexts == {"qwen3:14b": 16384}
    assert router.auto_pull
    assert mistakes(tmp_path, text.replace("16384", "100"))[0].startswith(
        "nodes.yaml:5:34 router.contexts['qwen3:14b'] 100 does not fit"
    )
