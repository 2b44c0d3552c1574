"""Settings: who wins, what is understood, and one clear line for everything else."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from dpl_exporter.addresses import Address, host_of, is_loopback, read_llm_url
from dpl_exporter.collectors import COLLECTORS
from dpl_exporter.errors import SettingsError
from dpl_exporter.settings import Settings, load, read_dotenv
from tests.exporter.process import run


def settings(*flags: str, **environ: str) -> Settings:
    return load(flags, environ, COLLECTORS)[0]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env` is read in the working folder."""
    monkeypatch.chdir(tmp_path)


def test_defaults_serve_on_loopback_beside_an_ollama() -> None:
    found = settings()

    assert str(found.listen) == "127.0.0.1:8001"
    assert found.llm_url == "http://127.0.0.1:11434"
    assert (found.llm_kind, found.slots, found.model, found.keys_file) == (None, None, None, None)
    assert found.collectors == frozenset(COLLECTORS)
    assert found.data_dir.name == "dpl-exporter"


def test_a_flag_beats_a_variable_beats_dotenv_beats_the_default() -> None:
    Path(".env").write_text("DPL_SLOTS=2\nDPL_LISTEN=127.0.0.1:2\nDPL_LLM_KIND=vllm\n")

    found = settings("--slots", "8", DPL_SLOTS="4", DPL_LISTEN="127.0.0.1:4")

    assert found.slots == 8
    assert found.listen.port == 4
    assert found.llm_kind == "vllm"
    assert found.sources["slots"] == "flag"
    assert found.sources["listen"] == "DPL_LISTEN"
    assert found.sources["model"] == "default"


def test_the_seeds_variables_are_understood() -> None:
    found = settings(PORT="9001", OLLAMA_HOST="0.0.0.0:11500", OLLAMA_MODEL="qwen3:14b")

    assert found.listen == Address("127.0.0.1", 9001)
    assert found.llm_url == "http://127.0.0.1:11500"
    assert found.model == "qwen3:14b"
    assert settings(PORT="9001", DPL_LISTEN="127.0.0.1:1").listen.port == 1
    assert settings(OLLAMA_HOST="a", DPL_LLM_URL="http://b").llm_url == "http://b"


def test_an_empty_variable_is_not_set() -> None:
    assert settings(DPL_SLOTS="", PORT=" ").slots is None


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("10.0.0.5", "http://10.0.0.5:11434"),
        ("10.0.0.5:8080", "http://10.0.0.5:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        ("http://gpu.lan", "http://gpu.lan"),
        ("https://gpu.lan:1/", "https://gpu.lan:1"),
        ("http://gpu:8000/v1", "http://gpu:8000"),
        ("http://gpu:8000/v1/chat/completions", "http://gpu:8000"),
        ("http://gpu:8000/api/chat", "http://gpu:8000"),
        ("http://gpu/llm/v1/", "http://gpu/llm"),
    ],
)
def test_spellings_of_the_llm_server(text: str, url: str) -> None:
    assert read_llm_url(text) == url


def test_collectors_are_switched_by_flag_and_variable() -> None:
    found = settings("--no-collector.disk", "--collector.cpu", DPL_COLLECTOR_NETWORK="off")

    assert frozenset(COLLECTORS) - found.collectors == {"disk", "network"}
    assert "disk" in settings("--collector.disk", DPL_COLLECTOR_DISK="0").collectors


def test_dotenv_takes_quotes_comments_and_export_and_leaves_other_lines_alone(
    tmp_path: Path,
) -> None:
    file = tmp_path / "env"
    file.write_text("# c\nA=1\nexport B='x # y'\nC=\"z\"  # why\nD=v # why\nE=\nrubbish\n 1=2\n")

    assert read_dotenv(file) == {"A": "1", "B": "x # y", "C": "z", "D": "v", "E": ""}
    assert read_dotenv(tmp_path / "none") == {}


BAD = [
    (["--listen", "here"], {}, "--listen: 'here'"),
    (["--listen", "127.0.0.1:99999"], {}, "127.0.0.1:99999"),
    (["--listen", "127.0.0.1:8001/x"], {}, "--listen"),
    ([], {"PORT": "http"}, "PORT: 'http'"),
    ([], {"PORT": "70000"}, "PORT"),
    (["--llm-url", "ftp://x"], {}, "http:// or https://"),
    (["--llm-url", "http://u:p@x"], {}, "without user"),
    (["--llm-url", "http://x:port"], {}, "--llm-url"),
    (["--llm-kind", "olama"], {}, "did you mean ollama?"),
    (["--llm-kind", "zzz"], {}, "one of: auto"),
    (["--slots", "0"], {}, "--slots: '0'"),
    (["--slots", "many"], {}, "nor auto"),
    (["--slots", "000000001999999"], {}, "from 1 to 4096"),
    ([], {"DPL_SLOTS": "-1"}, "DPL_SLOTS"),
    (["--keys-file", "none.yaml"], {}, "cannot be read: No such file"),
    (["--tls-cert", "."], {}, "--tls-cert"),
    (["--network-ignore", "("], {}, "regular expression"),
    (["--filesystems", "data"], {}, "not an absolute path"),
    ([], {"DPL_INSECURE_OPEN": "maybe"}, "neither 1 nor 0"),
    ([], {"DPL_COLLECTOR_CPU": "maybe"}, "DPL_COLLECTOR_CPU"),
    (["--sloots", "3"], {}, "--help"),
    (["--listen"], {}, "--listen"),
    (["--listen", "0.0.0.0:8001"], {}, "--keys-file"),
    (["--listen", "[::]:8001"], {}, "--insecure-open"),
    (["--listen", "gpu.lan:8001"], {}, "--insecure-open"),
    (["--protect-reads"], {}, "--keys-file"),
]


@pytest.mark.parametrize(("flags", "environ", "said"), BAD)
def test_a_bad_setting_is_one_line_that_names_it(
    flags: list[str], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load(flags, environ, COLLECTORS)

    assert said in refused.value.message
    assert "\n" not in refused.value.message


def test_tls_needs_both_files() -> None:
    Path("cert.pem").write_text("")

    with pytest.raises(SettingsError, match="belong together"):
        settings("--tls-cert", "cert.pem")


def test_beyond_loopback_it_serves_with_keys_or_when_told_that_it_is_open() -> None:
    Path("keys.yaml").write_text("keys: []")

    assert settings("--listen", "0.0.0.0:1", "--keys-file", "keys.yaml").listen.port == 1
    assert settings("--listen", "0.0.0.0:1", DPL_INSECURE_OPEN="1").insecure_open


@examples(deadline=None)
@given(st.text(max_size=40))
def test_no_text_is_more_than_refused(text: str) -> None:
    """Whatever stands in a variable, it is a setting or one line."""
    for name in ("DPL_LISTEN", "DPL_LLM_URL", "OLLAMA_HOST", "DPL_SLOTS", "PORT", "DPL_LLM_KIND"):
        try:
            settings(**{name: text})
        except SettingsError as error:
            assert "\n" not in error.message  # noqa: PT017 - both outcomes are fine


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("127.0.0.1.evil.com", False),
        ("localhost.evil.com", False),
        ("2130706433", False),
        ("", False),
    ],
)
def test_what_is_loopback(host: str, is_it: bool) -> None:
    assert is_loopback(host) is is_it


def test_the_host_of_a_header_is_read_without_its_port() -> None:
    assert host_of("127.0.0.1:80") == "127.0.0.1"
    assert host_of("[::1]:80") == "::1"
    for rubbish in ("a@127.0.0.1", "127.0.0.1/x", "127.0.0.1:port", "[::1", "127.0.0.1?x"):
        assert host_of(rubbish) == ""


def test_check_prints_the_effective_settings(tmp_path: Path) -> None:
    status, out, err = run(tmp_path, "--check", "--slots", "3", DPL_LLM_KIND="vllm")

    assert status == 0, err
    assert "slots = 3  # flag" in out.splitlines()
    assert "llm-kind = vllm  # DPL_LLM_KIND" in out.splitlines()
    assert "llm-url = http://127.0.0.1:11434  # default" in out.splitlines()
    assert err == ""


def test_version_and_help_are_printed(tmp_path: Path) -> None:
    status, out, _ = run(tmp_path, "--version")
    help_status, help_text, _ = run(tmp_path, "--help")

    assert (status, out) == (0, "dpl-exporter 0.1.0\n")
    assert help_status == 0
    assert all(f"--no-collector.{name}" in help_text for name in COLLECTORS)


def test_the_words_of_another_program_are_told_only_where_they_are_asked_for() -> None:
    assert settings().compat is None
    assert settings("--compat=node_exporter").compat == "node_exporter"
    assert settings(DPL_COMPAT="node_exporter").compat == "node_exporter"
    with pytest.raises(SettingsError, match="write node_exporter"):
        settings("--compat", "telegraf")


@pytest.mark.parametrize("flags", [["--slots", "0"], ["--nonsense"], ["--check", "--slots", "x"]])
def test_a_bad_setting_ends_with_2_one_line_and_no_traceback(
    tmp_path: Path, flags: list[str]
) -> None:
    status, out, err = run(tmp_path, *flags)

    assert status == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("dpl-exporter: ")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("keys.yaml", "keys: {", "is not YAML"),
        ("keys.yaml", "- a", "the top must be"),
        ("keys.yaml", "keys: [{name: a}]", "keys[0].role"),
    ],
)
def test_a_bad_keys_file_ends_with_2_and_names_the_place(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)

    for extra in ([], ["--check"]):
        status, _, err = run(tmp_path, "--listen", "127.0.0.1:0", "--keys-file", name, *extra)

        assert status == 2
        assert said in err
        assert len(err.splitlines()) == 1


def test_bad_certificates_end_with_2(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("no certificate")

    status, _, err = run(
        tmp_path, "--listen", "127.0.0.1:0", "--tls-cert", "c.pem", "--tls-key", "c.pem"
    )

    assert status == 2
    assert len([line for line in err.splitlines() if line.startswith("dpl-exporter: ")]) == 1
    assert "Traceback" not in err


def test_dotenv_in_the_working_folder_counts(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"DPL_DATA_DIR={tmp_path}{os.sep}state\n")

    _, out, _ = run(tmp_path, "--check")

    assert f"data-dir = {tmp_path}{os.sep}state  # DPL_DATA_DIR" in out.splitlines()
