"""docker-compose.yml, its Dockerfiles and what it mounts, as far as no container is needed.

In containers: tests/compose/in_containers.py.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

import dpl_exporter
import dpl_router
from dpl_router.cli.people import mail_of, telling_people
from dpl_router.inventory.load import load
from dpl_router.security.keys import Role, load_keys
from dpl_router.security.new_key import new_key
from tests.compose.rendered import rendered
from tests.fakes.grafana_files import Refused, boards, sources
from tests.fakes.programs import ROOT
from tests.versions import Version, present, program

DOCKERFILES = sorted(ROOT.glob("*/Dockerfile"))
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-slim)?(@sha256:[0-9a-f]{64})?")
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def composition() -> Any:
    return yaml.safe_load(read("docker-compose.yml"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def with_defaults(text: str) -> str:
    """As compose reads it where nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh one, as far as compose reads it."""
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets"))
    return tmp_path


def test_what_is_generated_is_what_it_is_made_from() -> None:
    """Otherwise: make render."""
    stale = [path.name for path, text in rendered().items() if path.read_text("utf-8") != text]

    assert stale == []


@pytest.mark.parametrize("name", ["docker-compose.yml", "deploy/gpu.yml", "deploy/open.yml"])
def test_compose_accepts_the_file(name: str) -> None:
    checked = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", name]

    done = subprocess.run(checked, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_the_dockerfiles_are_clean() -> None:
    done = subprocess.run(
        [str(BIN / "hadolint"), *map(str, DOCKERFILES)], capture_output=True, text=True, check=False
    )

    assert len(DOCKERFILES) == 2
    assert done.stdout == ""


def test_every_image_is_pinned_and_ours_have_our_versions(composition: Any) -> None:
    images = {name: service["image"] for name, service in composition["services"].items()}
    stages = [line for file in DOCKERFILES for line in file.read_text("utf-8").splitlines()]
    bases = {line.split()[1] for line in stages if line.startswith("FROM ") and ":" in line}

    assert [name for name in [*images.values(), *bases] if not PINNED.fullmatch(name)] == []
    assert len(bases) == 1
    assert images["router"] == f"dpl-router:{dpl_router.__version__}"
    assert images["llm"] == f"dpl-demo:{dpl_router.__version__}"
    assert images["exporter"] == f"dpl-exporter:{dpl_exporter.__version__}"


def test_every_service_is_confined_and_looked_after(composition: Any) -> None:
    for name, service in composition["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
        assert "privileged" not in service, name


def test_ports_are_this_machines_alone(composition: Any) -> None:
    """But the router's, which DPL_BIND opens."""
    ports = [port for each in composition["services"].values() for port in each.get("ports", ())]

    assert len(ports) == 4
    assert [port for port in ports if not with_defaults(port).startswith("127.0.0.1:")] == []
    assert len([port for port in ports if "DPL_BIND" in port]) == 1


def test_every_setting_is_told_and_none_that_is_not_there() -> None:
    table = read("deploy/README.md").partition("## Settings")[2].partition("##")[0]
    told = set(re.findall(r"`(DPL_\w+)`", table))
    asked = set(re.findall(r"\$\{(\w+)", read("docker-compose.yml")))

    assert told == asked


def test_what_is_written_goes_into_named_volumes(composition: Any) -> None:
    """What is mounted from the clone is read only, and there."""
    for name, service in composition["services"].items():
        for volume in service.get("volumes", ()):
            source, *_, last = with_defaults(volume).split(":")
            if source.startswith("."):
                assert last == "ro", name
                assert (ROOT / source).exists(), source
            else:
                assert source in composition["volumes"], name


def test_no_secret_stands_in_a_file(composition: Any) -> None:
    """Each comes from a file that is in no commit, and compose says how they are made."""
    variables = [
        (key, value)
        for service in composition["services"].values()
        for key, value in service.get("environment", {}).items()
        if re.search("PASSWORD|KEY|TOKEN|SECRET", key)
    ]
    services = composition["services"].values()
    used = {secret for service in services for secret in service.get("secrets", ())}

    here = [each for each in variables if with_defaults(str(each[1]))]
    assert [each for each in here if not str(each[1]).startswith("/run/secrets/")] == []
    assert used == set(composition["secrets"])
    for secret in composition["secrets"].values():
        assert secret["file"].startswith("${DPL_SECRETS:?make keys and passwords first, by: sh ")
    assert "deploy/secrets/" in read(".gitignore").splitlines()
    assert read(".dockerignore").splitlines()[1] == "*"


def test_keys_are_made_once_and_fit_their_hashes(clone: Path) -> None:
    made = [make_secrets(clone) for _ in range(2)]
    folder = clone / "deploy/secrets"
    keys = load_keys(folder / "keys.yaml")
    roles = {role: keys.identify((folder / f"{role.word}-key").read_text("ascii")) for role in Role}

    assert made[0] == made[1]
    assert {role: who.role for role, who in roles.items() if who} == {role: role for role in Role}
    assert len(made[0]["grafana-password"]) == 64
    assert (clone / ".env").read_text("ascii") == "DPL_SECRETS=./deploy/secrets\n"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o444}


@pytest.mark.parametrize("mine", ["COMPOSE_PROFILES=demo", "COMPOSE_PROFILES=demo\n", ""])
def test_what_stands_in_my_env_file_stays_a_line_of_its_own(clone: Path, mine: str) -> None:
    """An editor may leave the last line without its end."""
    file = clone / ".env"
    file.write_text(mine, encoding="ascii")

    make_secrets(clone)

    assert file.read_text("ascii").splitlines() == [
        *mine.splitlines(),
        "DPL_SECRETS=./deploy/secrets",
    ]


def test_a_key_that_was_added_can_be_read_by_the_containers_again(clone: Path) -> None:
    """As deploy/README.md tells it: `dpl key new` makes a file for its owner alone."""
    make_secrets(clone)
    file = clone / "deploy/secrets/keys.yaml"
    key = new_key(file, "anna", Role.USER)
    make_secrets(clone)
    anna = load_keys(file).identify(key)

    assert file.stat().st_mode & 0o777 == 0o444
    assert anna is not None
    assert len(load_keys(file)) == len(Role) + 1


@pytest.mark.parametrize("given", [True, False])
def test_the_router_writes_to_people_where_a_mail_server_is_set(
    composition: Any, given: bool
) -> None:
    """What is not set reaches it as an empty text, and that is nothing."""
    told = {
        name: with_defaults(text)
        for name, text in composition["services"]["router"]["environment"].items()
        if re.match("DPL_(SMTP|ALARM)_", name)
    }
    mine = {"SERVER": "mail:587", "FROM": "dpl@example.org", "TO": "you@example.org"}
    if given:
        told |= {f"DPL_SMTP_{name}": text for name, text in mine.items()}
    people: dict[str, Any] = {}
    command = telling_people(click.Command("serve", callback=lambda **all_: people.update(all_)))

    done = CliRunner().invoke(command, [], env=told, catch_exceptions=False)
    mail = mail_of(people)

    assert done.exit_code == 0
    assert set(told) == {option.envvar for option in command.params}
    assert people["alarm_webhook_file"] is None
    assert (mail is not None) == given
    assert mail is None or mail.to == ("you@example.org",)


def make_secrets(clone: Path) -> dict[str, str]:
    subprocess.run(["sh", "deploy/secrets.sh"], cwd=clone, check=True, timeout=30)
    return {file.name: file.read_text("ascii") for file in (clone / "deploy/secrets").iterdir()}


def test_the_nodes_file_holds_and_lets_the_watchers_call(composition: Any) -> None:
    inventory = load(ROOT / "deploy/nodes/nodes.yaml", {})
    [node] = inventory.nodes

    assert composition["services"]["llm"]["profiles"] == ["demo"]
    assert (node.url, node.exporter) == ("http://llm:8080", "http://exporter:8001")
    assert node.url in composition["services"]["exporter"]["environment"]["DPL_LLM_URL"]
    assert inventory.router.allowed_hosts == ("router",)


@pytest.mark.parametrize("version", present(), ids=lambda version: version.name)
def test_prometheus_and_alertmanager_take_their_files(version: Version, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "prometheus/rules", tmp_path / "rules")
    shutil.copytree(ROOT / "alertmanager/templates", tmp_path / "templates")
    for name in ("prometheus.yml", "alertmanager.yml"):
        shutil.copy(ROOT / "deploy" / name, tmp_path)
    commands = [
        [program(version, "promtool"), "check", "config", "--syntax-only", "prometheus.yml"],
        [program(version, "amtool"), "check-config", "alertmanager.yml"],
    ]

    said = [
        subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        for command in commands
    ]

    assert [each.returncode for each in said] == [0, 0], said


def test_grafana_takes_the_provisioning_and_opens_on_the_overview(composition: Any) -> None:
    grafana = composition["services"]["grafana"]
    environment = {name: str(value) for name, value in grafana["environment"].items()}
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    home = environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    asked = {each.uid: each for each in sources(ROOT / "grafana/provisioning", environment)}
    folder, _, name = home.rpartition("/")

    assert asked["dpl-prometheus"].url == "http://prometheus:9090"
    assert asked["dpl-prometheus"].default
    assert asked["dpl-alertmanager"].url == "http://alertmanager:9093"
    assert "${__value.raw}" in str(asked["dpl-prometheus"].settings)
    assert mounts["./grafana/dashboards"] == folder
    assert (ROOT / "grafana/dashboards" / name).is_file()
    assert folder in read("grafana/provisioning/dashboards/dpl.yml")


def provision(folder: Path, what: str, text: str) -> Path:
    for name in ("datasources", "dashboards"):
        (folder / name).mkdir()
    (folder / "boards").mkdir()
    (folder / what / "x.yml").write_text(text.replace("HERE", str(folder)), encoding="utf-8")
    return folder


SOURCE = "{name: P, uid: p, type: prometheus, url: 'http://p:9090', isDefault: true}"
OTHER = SOURCE.replace("P,", "Q,").replace(": p,", ": q,")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"datasources: [{SOURCE}]", "apiVersion"),
        (f"apiVersion: 1\ndatasources: [{SOURCE}, {SOURCE}]", "more than once"),
        (f"apiVersion: 1\ndatasources: [{SOURCE}, {OTHER}]", "default"),
        (f"apiVersion: 1\ndatasources: [{SOURCE.replace('http://p', '$NO')}]", "no address"),
        (f"apiVersion: 1\ndatasources: [{SOURCE.replace('prometheus', 'promtheus')}]", "plugin"),
        (f"apiVersion: 1\ndatasources: [{SOURCE.replace(': p,', ': p/q,')}]", "uid"),
        ("apiVersion: 1\ndatasources: [", "x.yml"),
    ],
)
def test_what_grafana_would_refuse_of_a_source_is_refused(
    tmp_path: Path, text: str, why: str
) -> None:
    with pytest.raises(Refused, match=why):
        sources(provision(tmp_path, "datasources", text), {})


@pytest.mark.parametrize(
    ("provider", "files", "why"),
    [
        ("{name: a, type: s3, options: {path: HERE/boards}}", {}, "not supported"),
        ("{name: a, options: {folder: HERE/boards}}", {}, "path param"),
        ("{name: a, options: {path: /nowhere}}", {}, "cannot read"),
        (
            "{name: a, folder: A, options: {path: HERE/boards, foldersFromFilesStructure: true}}",
            {},
            "must be empty",
        ),
        ("{name: a, options: {path: HERE/boards}}", {"x": '{"uid": "u"}'}, "title"),
        ("{name: a, options: {path: HERE/boards}}", {"x": '{"title": "T", "uid": "ü"}'}, "uid"),
        ("{name: a, options: {path: HERE/boards}}", {"x": "{"}, "x.json"),
        (
            "{name: a, options: {path: HERE/boards}}",
            {"x": '{"title": "T", "uid": "u"}', "y": '{"title": "S", "uid": "u"}'},
            "more than once",
        ),
    ],
)
def test_what_grafana_would_refuse_of_a_dashboard_is_refused(
    tmp_path: Path, provider: str, files: dict[str, str], why: str
) -> None:
    folder = provision(tmp_path, "dashboards", f"apiVersion: 1\nproviders: [{provider}]")
    for name, text in files.items():
        (folder / "boards" / f"{name}.json").write_text(text, encoding="utf-8")

    with pytest.raises(Refused, match=why):
        boards(folder, {})


def test_our_dashboards_are_taken(tmp_path: Path) -> None:
    text = read("grafana/provisioning/dashboards/dpl.yml")
    folder = provision(
        tmp_path,
        "dashboards",
        text.replace("/var/lib/grafana/dashboards", str(ROOT / "grafana/dashboards")),
    )

    taken = boards(folder, {})

    assert {board.folder for board in taken} == {"DPL"}
    assert "dpl-overview" in {board.uid for board in taken}
