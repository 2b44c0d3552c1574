"""The rendered configuration, and that the real programs accept it."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dpl_router.cli.people import mail_of
from dpl_router.cli.serve import serve
from dpl_router.errors import ConfigError
from dpl_router.settings import Address, Mail, mail_settings
from dpl_router.stack import render
from dpl_router.stack.plan import mail_flags
from tests.fakes.programs import find_program

ADDRESSES = render.Addresses("127.0.0.1:8123", "127.0.0.1:9190", "127.0.0.1:9193")


@pytest.fixture
def tokens(tmp_path: Path) -> render.Tokens:
    tokens = render.Tokens(tmp_path / "router.token", tmp_path / "prometheus.token")
    for file in (tokens.operator, tokens.viewer):
        file.write_text("dpl_key\n")
    return tokens


def a_mail(folder: Path) -> Mail:
    password = folder / "smtp.password"
    password.write_text("secret\n")
    server = Address("mail.example.org", 587)
    to = ("ops@example.org", "night@example.org")
    return Mail(server, "dpl@example.org", to, "dpl", password)


def jobs(document: dict[str, Any]) -> dict[str, Any]:
    return {job["job_name"]: job for job in document["scrape_configs"]}


def test_every_address_is_of_this_run() -> None:
    originals = render.find_originals()
    prometheus = render.render_prometheus(originals, ADDRESSES, None)
    alertmanager = render.render_alertmanager(originals, ADDRESSES, None, "UTC")

    text = yaml.safe_dump(prometheus) + yaml.safe_dump(alertmanager)

    for usual in ("8000", "9090", "9093"):
        assert f"127.0.0.1:{usual}" not in text
    assert jobs(prometheus)["prometheus"]["static_configs"] == [{"targets": ["127.0.0.1:9190"]}]
    assert jobs(prometheus)["dpl-router"]["static_configs"] == [
        {"targets": ["127.0.0.1:8123"], "labels": {"instance": "router"}}
    ]


def test_without_keys_nobody_shows_a_token() -> None:
    originals = render.find_originals()

    documents = (
        render.render_prometheus(originals, ADDRESSES, None),
        render.render_alertmanager(originals, ADDRESSES, None, "UTC"),
    )

    assert "credentials_file" not in yaml.safe_dump(documents)


def test_prometheus_is_a_viewer_and_alertmanager_an_operator(tokens: render.Tokens) -> None:
    originals = render.find_originals()
    found = jobs(render.render_prometheus(originals, ADDRESSES, tokens))
    receivers = render.render_alertmanager(originals, ADDRESSES, tokens, "UTC")["receivers"]

    viewer = {"type": "Bearer", "credentials_file": str(tokens.viewer)}
    operator = {"type": "Bearer", "credentials_file": str(tokens.operator)}
    hooks = [hook for receiver in receivers for hook in receiver.get("webhook_configs", ())]
    assert found["dpl-router"]["authorization"] == viewer
    for name in ("dpl-exporter", "node", "vllm"):
        (discovery,) = found[name]["http_sd_configs"]
        assert discovery["url"] == f"http://127.0.0.1:8123/sd/prometheus/{name}"
        assert discovery["authorization"] == viewer
        assert "authorization" not in found[name]
    assert hooks
    assert all(hook["http_config"]["authorization"] == operator for hook in hooks)


def test_the_zone_reaches_every_interval() -> None:
    document = render.render_alertmanager(render.find_originals(), ADDRESSES, None, "Asia/Tokyo")

    zones = {
        interval["location"]
        for named in document["time_intervals"]
        for interval in named["time_intervals"]
    }
    assert zones == {"Asia/Tokyo"}


def test_with_a_mail_server_people_are_written_to(tmp_path: Path) -> None:
    originals = render.find_originals()
    mail = a_mail(tmp_path)
    quiet = render.render_alertmanager(originals, ADDRESSES, None, "UTC")
    loud = render.render_alertmanager(originals, ADDRESSES, None, "UTC", mail)

    names = [receiver["name"] for receiver in quiet["receivers"]]
    (letter,) = next(one for one in loud["receivers"] if one["name"] == "ops")["email_configs"]
    assert [receiver["name"] for receiver in loud["receivers"]] == names
    assert "smtp" not in yaml.safe_dump(quiet)
    assert letter["to"] == "ops@example.org, night@example.org"
    assert letter["send_resolved"] is True
    assert {name: value for name, value in loud["global"].items() if "smtp" in name} == {
        "smtp_smarthost": "mail.example.org:587",
        "smtp_from": "dpl@example.org",
        "smtp_require_tls": True,
        "smtp_auth_username": "dpl",
        "smtp_auth_password_file": str(mail.password_file),
    }


def test_what_is_said_of_mail_reaches_the_router_as_it_was_said(tmp_path: Path) -> None:
    for mail in (a_mail(tmp_path), replace(a_mail(tmp_path), user=None, password_file=None)):
        context = serve.make_context("serve", mail_flags(replace(mail, tls=False)))

        assert mail_of(context.params) == replace(mail, tls=False)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sender": "a@b"}, "--smtp-server HOST:PORT"),
        ({"server": "mail.example.org"}, "no address"),
        ({"server": "m:25", "sender": "a@b"}, "--smtp-from and --smtp-to"),
        ({"server": "m:25", "sender": "a@b", "to": "nobody"}, "no mail address"),
        ({"server": "m:25", "sender": "a@b\r\nBcc: c@d", "to": "e@f"}, "no mail address"),
        ({"server": "m:25", "sender": "a@b", "to": "c@d", "user": "u"}, "belong together"),
        (
            {"server": "m:25", "sender": "a@b", "to": "c@d", "user": "u", "password": "/gone"},
            "/gone is not there",
        ),
    ],
)
def test_half_a_mail_server_is_told(given: dict[str, str], told: str) -> None:
    password = Path(given["password"]) if "password" in given else None

    with pytest.raises(ConfigError, match=re.escape(told)):
        mail_settings(
            given.get("server"),
            given.get("sender"),
            given.get("to"),
            given.get("user"),
            password,
            tls=True,
        )


def test_the_real_programs_accept_both_files(tmp_path: Path, tokens: render.Tokens) -> None:
    originals = render.find_originals()
    prometheus, alertmanager = tmp_path / "prometheus.yml", tmp_path / "alertmanager.yml"
    render.write(prometheus, render.render_prometheus(originals, ADDRESSES, tokens), "header")
    render.write(
        alertmanager,
        render.render_alertmanager(
            originals, ADDRESSES, tokens, render.local_zone(), a_mail(tmp_path)
        ),
        "header",
    )

    for command in (
        [find_program("promtool"), "check", "config", str(prometheus)],
        [find_program("amtool"), "check-config", str(alertmanager)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout


@pytest.mark.parametrize(
    ("environment", "zone"),
    [({"TZ": ":Europe/Berlin"}, "Europe/Berlin"), ({"TZ": "Nowhere/Land"}, "UTC"), ({}, "UTC")],
)
def test_a_zone_that_is_not_known_by_name_is_utc(
    environment: dict[str, str], zone: str, tmp_path: Path
) -> None:
    assert render.local_zone(environment, tmp_path / "localtime") == zone


def test_the_machines_own_zone_is_found(tmp_path: Path) -> None:
    localtime = tmp_path / "localtime"
    target = tmp_path / "zoneinfo/Asia/Tokyo"
    target.parent.mkdir(parents=True)
    target.touch()
    localtime.symlink_to(target)

    assert render.local_zone({}, localtime) == "Asia/Tokyo"


def test_a_package_without_its_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="install dpl-router again"):
        render.find_originals(tmp_path / "site-packages/dpl_router")


def test_the_files_in_the_package_are_found(tmp_path: Path) -> None:
    data = tmp_path / "site-packages/dpl_router/data"
    (data / "prometheus").mkdir(parents=True)
    (data / "prometheus/prometheus.yml").touch()

    assert render.find_originals(data.parent) == data
