"""`dpl up` blames --data-dir only for what happened there, and ends with a table that is true."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from dpl_router.errors import ConfigError
from dpl_router.settings import Address, Mail, mail_settings
from dpl_router.stack.plan import Setting, make_plan
from dpl_router.stack.programs import Programs
from dpl_router.stack.render import Addresses
from dpl_router.stack.session import table, usable
from dpl_router.stack.sources import Sources


def setting(folder: Path, keys_file: Path | None = None) -> Setting:
    return Setting(
        data_dir=folder,
        listen=Address("127.0.0.1", 8000),
        addresses=Addresses("127.0.0.1:8000", "127.0.0.1:9090", "127.0.0.1:9093"),
        sources=Sources(folder / "nodes.yaml", (), ()),
        programs=Programs(None, None, None, None),
        keys_file=keys_file,
        tokens=None,
        insecure_open=False,
    )


def test_the_table_names_the_address_of_each_protocol(tmp_path: Path) -> None:
    rows = table(setting(tmp_path), None)

    assert "  OpenAI API         http://127.0.0.1:8000/v1" in rows
    assert "  Ollama, Anthropic  http://127.0.0.1:8000" in rows
    assert not any("needs a key" in row for row in rows)


def test_the_table_tells_who_is_written_to_only_where_somebody_is(tmp_path: Path) -> None:
    nobody = table(setting(tmp_path), None)
    mail = Mail(Address("mail.example.org", 587), "dpl@example.org", ("you@example.org",))
    somebody = table(replace(setting(tmp_path), mail=mail), None)

    assert not any(row.startswith("  mail ") for row in nobody)
    assert "  mail               you@example.org by mail.example.org:587" in somebody


def test_a_mail_server_without_port_is_answered_with_one_that_has_it() -> None:
    with pytest.raises(ConfigError, match=r"write HOST:PORT, as mail\.example\.org:587"):
        mail_settings("mail.example.org", "a@b", "c@d", None, None, tls=True)


def test_links_of_prometheus_and_alertmanager_lead_to_where_they_listen(tmp_path: Path) -> None:
    programs = Programs(Path("prometheus"), None, Path("alertmanager"), None)
    parts = make_plan(replace(setting(tmp_path), programs=programs)).parts
    commands = {part.name: part.command for part in parts}

    assert "--web.external-url=http://127.0.0.1:9090" in commands["prometheus"]
    assert "--storage.tsdb.retention.time=30d" in commands["prometheus"]
    assert "--web.external-url=http://127.0.0.1:9093" in commands["alertmanager"]


def test_a_part_that_did_not_start_is_marked_in_the_table(tmp_path: Path) -> None:
    programs = Programs(Path("prometheus"), None, Path("alertmanager"), None)
    rows = table(replace(setting(tmp_path), programs=programs), None, {"prometheus"})

    assert "  Prometheus         http://127.0.0.1:9090  (does not run)" in rows
    assert "  Alertmanager       http://127.0.0.1:9093" in rows


def test_with_keys_the_table_marks_the_pages_that_a_plain_browser_cannot_open(
    tmp_path: Path,
) -> None:
    marked = [row for row in table(setting(tmp_path, tmp_path / "k"), None) if "needs a key" in row]

    assert [row.split()[0] for row in marked] == ["chat", "overview"]
    assert all(row.endswith("(needs a key)") for row in marked)


def test_the_folder_is_made(tmp_path: Path) -> None:
    with usable(tmp_path / "new" / "folder"):
        assert (tmp_path / "new" / "folder").is_dir()


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match=r"--data-dir .* cannot be used"),
        usable(tmp_path / "file"),
    ):
        pass


def test_what_the_system_refuses_inside_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be used"), usable(tmp_path):
        (tmp_path / "missing" / "file").write_text("x")


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No space left"), usable(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "Connection refused"), FileNotFoundError(2, "x", "/none")]
)
def test_anything_else_stays_what_it_is(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(type(error)), usable(tmp_path):
        raise error
