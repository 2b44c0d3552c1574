"""What a wrong file is told: everything at once, with the line, the place and what to write."""

import json
import os
from pathlib import Path

import pytest

from dpl_router.inventory.load import load
from dpl_router.inventory.mistakes import InventoryError, Mistake, as_github, as_json
from tests.router.inventory.files import GOOD, mistakes, node


def test_every_mistake_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
version: 2
nodes:
  - name: Gpu_1
    llm_url: http://10.0.0.5:11434
    wieght: 3
    slots: 0
  - name: b
    url: ftp://10.0.0.5
    monitor_base_url: x
    schedule: Mon-Fri
    timeouts: {idle: 5x}
  - name: b
    url: http://h
extra: 1
"""

    told = mistakes(tmp_path, text)

    starts = [line.partition(";")[0] for line in told]
    assert starts == [
        "nodes.yaml:1:10 version 2 does not fit",
        'nodes.yaml:3:5 nodes[0] the field "url" is missing',
        "nodes.yaml:3:11 nodes[0].name 'Gpu_1' does not fit",
        "nodes.yaml:4:5 nodes[0].llm_url unknown field",
        "nodes.yaml:5:5 nodes[0].wieght unknown field",
        "nodes.yaml:6:12 nodes[0].slots 0 does not fit",
        "nodes.yaml:8:10 nodes[1].url is no http or https url",
        "nodes.yaml:9:5 nodes[1].monitor_base_url unknown field",
        "nodes.yaml:10:5 nodes[1].schedule unknown field",
        "nodes.yaml:11:22 nodes[1].timeouts.idle '5x' does not fit",
        "nodes.yaml:12:11 nodes[2].name the name 'b' is taken by nodes[1]",
        "nodes.yaml:14:1 extra unknown field",
    ]


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("cordond: true", 'did you mean "cordoned"?'),
        ("wieght: 3", 'did you mean "weight"? (it comes with a later release)'),
        ("weight: 3", "it comes with a later release"),
        ("metric: {node: x}", 'did you mean "metrics"?'),
        ("llm_url: http://h", 'here it is called "url"'),
        ("monitor_base_url: http://h", 'here it is called "exporter"'),
        ("xyzzy: 1", "known here: name, url, kind"),
    ],
)
def test_an_unknown_field_has_a_hint(tmp_path: Path, field: str, hint: str) -> None:
    (told,) = mistakes(tmp_path, node(field))

    assert told.startswith(f"nodes.yaml:5:5 nodes[0].{field.partition(':')[0]} unknown field; ")
    assert hint in told


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("api_key: sk-very-secret", "nodes[0].api_key a secret does not stand here itself"),
        ("exporter_key: 12345", "a secret does not stand here itself"),
        ("api_key: ${NOPE}", "the environment variable NOPE is not set"),
        ("api_key: ${EMPTY}", "${EMPTY} is empty"),
        ("api_key: ${TWO_LINES}", "line break"),
        ("api_key: file:missing", "there is no file"),
        ("api_key: file:/", "there is no file"),
        ("exporter_tls: ca.pem", "does not fit; PEM file"),
        ("exporter_tls: file:missing.pem", "there is no file"),
        ("tls: {ca: missing.pem}", "nodes[0].tls.ca there is no file"),
        ("exporter_tls: file:nodes.yaml", "holds no certificate in PEM form"),
        ("tls: {ca: nodes.yaml}", "nodes[0].tls.ca"),
        ("tls: {ca: nodes.yaml}", "holds no certificate in PEM form"),
        ("tls: {cert: nodes.yaml, key: nodes.yaml}", "nodes[0].tls.cert"),
        ("tls: {cert: nodes.yaml}", "cert and key belong together"),
        ("metrics: 10.0.0.5:9100", "nodes[0].metrics '10.0.0.5:9100' does not fit; what tells"),
        ("metrics: {node: 9100}", "9100 does not fit; node_exporter's address, like 10.0.0.5:9100"),
        ("metrics: {node: 10.0.0.5}", "nodes[0].metrics.node names no port; write it like 10.0"),
        ("metrics: {nod: '10.0.0.5:1'}", 'metrics.nod unknown field; did you mean "node"?'),
        ("metrics: {dcgm: 'ftp://h:1'}", "is no http or https url; write it like 10.0.0.5:9400"),
        ("metrics: {gpu: 'h:0'}", "port 0 is no port to call; write it like :9835"),
        ("metrics: {node: '0.0.0.0:1'}", "write 127.0.0.1 for this one"),
        ("metrics: {node: 'http://u:sk-very@h'}", "holds a user name or password"),
        ("metrics: {node: '169.254.169.254:80'}", "allow_link_local: true"),
        ("metrics: {engine: '10.0.0.5:8000'}", "kind: openai, llamacpp, vllm or sglang"),
        ("kind: ollama\n    metrics: {engine: 'h:1'}", "a server of kind ollama has no metrics"),
        ("timeouts: {idle: 0}", "0 does not fit"),
        ("timeouts: {idle: .inf}", "is no usable time"),
        ("timeouts: {idle: 999h}", "is no usable time"),
        ("timeouts: {idle: 0ms}", "is no usable time"),
        ('timeouts: {idle: "30s\\n"}', "must be one line"),
        ("slots: 1.5", "1.5 does not fit"),
        ("slots:", "has no value"),
        ("cordoned: maybe", "'maybe' does not fit; send nothing new here: true or false"),
        ("kind: yes", "YAML reads this as true"),
        ("labels: {rack: 1}", "nodes[0].labels.rack 1 does not fit"),
        ("labels: {'a b': x}", "is no name for a field"),
        ("models: qwen", "'qwen' does not fit"),
        ("models: [3]", "nodes[0].models[0] 3 does not fit"),
        ("aliases: [a]", "a list does not fit; our name for a model"),
        ("aliases: {a b: x}", "is no name for a field"),
        ("aliases: {a: 1}", "nodes[0].aliases.a 1 does not fit"),
        ("aliases: {a: ''}", "nodes[0].aliases.a '' does not fit"),
        ("aliases: {a: a}", "nodes[0].aliases.a 'a' is the same name"),
        ("aliases: {A: 'a:latest'}", "'A' is the same name"),
        ("aliases: {a: x, 'A:latest': y}", "is 'a' once more"),
        ("aliases: {a: b, b: c}", "nodes[0].aliases.a 'b' is an alias itself; write the node's"),
        ("remote_models: 1", "nodes[0].remote_models 1 does not fit"),
        ("labels: {a: !!python/name:os.system x}", "the tag"),
        ('slots: !!int ""', "the tag"),
        ('timeouts: {idle: !!float ""}', "the tag"),
        ("cordoned: !!bool zz", "the tag"),
        ("kind: !!str vllm", "the tag"),
        ("labels: !!map {a: b}", "the tag"),
        ("models: !odd [a]", "the tag"),
        ("!!str kind: vllm", "the tag"),
        ('kind: "a\\tb"', "invisible characters"),
        ("? [1, 2]\n    : x", "a field's name must be plain text"),
        ("kind: vllm\n    kind: ollama", "stands twice, first in line 5"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(tmp_path: Path, fields: str, words: str) -> None:
    environ = {"EMPTY": " ", "TWO_LINES": "a\nb"}

    (told,) = mistakes(tmp_path, node(fields), environ)

    assert told.startswith(("nodes.yaml:5:", "nodes.yaml:6:"))
    assert words in told
    assert "sk-very" not in told
    assert "12345" not in told


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://h", "no http or https"),
        ("10.0.0.5:11434", "no http or https"),
        ("http:/h", "no http or https"),
        ("http://", "no proper host"),
        ("http://u:hunter2@h", "user name or password"),
        ("http://h?x=1", "query"),
        ("http://h:99999", "port"),
        ("http://h:0", "port"),
        ("http://h h", "blank"),
        ("http://bücher.lan", "xn--"),
        ("http://[::1", "no url"),
        ("http://[zz]:1", "no"),
        ("http://0.0.0.0:1", "127.0.0.1"),
        ("http://[::]:1", "[::1]"),
        ("http://2852039166/", "write 169.254.169.254"),
        ("http://0xa9.254.169.254/", "write 169.254.169.254"),
        ("http://169.254.169.254/latest", "allow_link_local"),
        ("http://[::ffff:169.254.169.254]/", "allow_link_local"),
        ("http://[fe80::1]:1", "allow_link_local"),
        ("http://[fd00:ec2::254]/", "allow_link_local"),
        ("http://metadata.google.internal./", "allow_link_local"),
        ("http://100.100.100.200", "allow_link_local"),
    ],
)
@pytest.mark.parametrize("field", ["url", "exporter"])
def test_an_address_that_no_node_has_is_refused(
    tmp_path: Path, field: str, url: str, words: str
) -> None:
    other = "exporter: none" if field == "url" else "url: http://10.0.0.5"
    text = f"version: 1\nnodes:\n- name: a\n  {other}\n  {field}: '{url}'\n"

    (told,) = mistakes(tmp_path, text)

    assert told.startswith(f"nodes.yaml:5:{len(field) + 5} nodes[0].{field} ")
    assert words in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "nodes.yaml: is empty"),
        (b" \n\n", "nodes.yaml: is empty"),
        (b"# nothing\n", "nodes.yaml: holds nothing but comments"),
        (b"version: 1\nx: \xff\n", "nodes.yaml: is not UTF-8 (line 2); save it as UTF-8"),
        (b"version: 1\nx: a\x00b\n", "nodes.yaml:2:5: the invisible character U+0000 stands here"),
        (b"nodes:\n\t- a\n", "nodes.yaml:2:1: no YAML: "),
        (b"a: b: c\n", "nodes.yaml:1:5: no YAML: "),
        (b"a: [1, 2\n", "nodes.yaml:2:1: no YAML: "),
        (b"a: 1\n---\nb: 2\n", "nodes.yaml:2:1: no YAML: "),
        (b"a: *b\n", "nodes.yaml:1:4: no YAML: "),
        (b"[" * 40, "nodes.yaml: is nested more than 32 levels deep"),
        (b"a: &a [*a]\n", "nodes.yaml: its aliases unfold to too much; write it out"),
        (b"#" * 1024 * 1024 + b"#", "nodes.yaml: is larger than 1 MiB"),
        (b"~", "nodes.yaml:1:1: has no value"),
        (b"hello", "nodes.yaml:1:1: 'hello' does not fit"),
    ],
)
def test_a_file_that_is_no_yaml_is_told_in_one_line(tmp_path: Path, text: bytes, told: str) -> None:
    (line,) = mistakes(tmp_path, text)

    assert line.startswith(told)


def test_a_million_brackets_are_told_in_one_line(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, "[" * 1_000_000)

    assert "nest" in line


def test_a_tab_is_named(tmp_path: Path) -> None:
    assert "a tab indents this line" in mistakes(tmp_path, "nodes:\n\t- a\n")[0]


def test_a_bomb_of_aliases_is_defused(tmp_path: Path) -> None:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    text = "\n".join(["a0: &a0 [x]", *levels])

    assert mistakes(tmp_path, text) == ["nodes.yaml: its aliases unfold to too much; write it out"]


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, words in [("no", "there is no such file"), (".", "a folder"), ("pipe", "no plain")]:
        with pytest.raises(InventoryError, match=words) as caught:
            load(tmp_path / name, {})
        assert len(caught.value.mistakes) == 1


def test_the_nodes_are_required(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "version: 1\nnodes: []\n")[0].startswith(
        "nodes.yaml:2:8 nodes an empty list does not fit"
    )
    assert len(mistakes(tmp_path, "router: {}\n")) == 2


@pytest.mark.parametrize("digest", ["a8cc1361f31", "latest", "a8cc1361f3145dc0_1", 123456789012])
def test_weights_are_pinned_by_their_sha256(tmp_path: Path, digest: object) -> None:
    (told,) = mistakes(tmp_path, f"{node('kind: auto')}weights: {{m: {digest}}}\n")

    assert told.startswith(f"nodes.yaml:6:14 weights.m {digest!r} does not fit; which weights a")
    assert "in quotes" in told


def test_a_lease_lasts_at_most_what_exporters_grant(tmp_path: Path) -> None:
    (told,) = mistakes(tmp_path, GOOD.replace("lease_ttl: 20", "lease_ttl: 10m"))

    assert told.startswith("nodes.yaml:13:14 router.lease_ttl is no usable time for a lease")


def test_machines_can_read_the_mistakes() -> None:
    mistake = Mistake("a,b.yaml", 9, 5, "nodes[1].wieght", "unknown field", "100%\nsure")

    assert as_github(mistake) == (
        "::error file=a%2Cb.yaml,line=9,col=5::nodes[1].wieght unknown field; 100%25%0Asure"
    )
    assert json.loads(as_json([mistake], []))["mistakes"][0]["line"] == 9
