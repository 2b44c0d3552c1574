"""Who may call: keys, roles, TLS, addresses beyond loopback; each with a real process."""

import hashlib
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.exporter.certificates import self_signed
from tests.exporter.process import raw, running
from tests.fakes.llm_status import StatusServer

HOST = b"Host: 127.0.0.1\r\n"
PATIENCE = 20.0
SMUGGLED = b"GET /-/ready HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys.yaml"
    write_keys(file, op="operator", us="user", vi="viewer")
    return file


def write_keys(file: Path, **roles: str) -> None:
    entries = [
        {"name": key, "role": role, "sha256": hashlib.sha256(key.encode()).hexdigest()}
        for key, role in roles.items()
    ]
    file.write_text(yaml.safe_dump({"keys": entries}))


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_with_keys_a_lock_needs_an_operator_and_reads_are_open(
    tmp_path: Path, keys_file: Path, llm: StatusServer
) -> None:
    with running(tmp_path, "--llm-url", llm.url, "--keys-file", str(keys_file)) as exporter:
        for path in ("/lock", "/unlock"):
            none = exporter.call("POST", path)
            wrong = exporter.call("POST", path, headers=bearer("nope"))
            user = exporter.call("POST", path, headers=bearer("us"))
            assert (none.status, wrong.status, user.status) == (401, 401, 403)
            assert none.headers["WWW-Authenticate"] == "Bearer"
        for path in ("/metrics", "/status", "/-/ready"):
            assert exporter.call("GET", path).status == 200
        body = b'{"owner": "r1", "ttl_seconds": 10}'
        assert exporter.call("POST", "/lock", body, bearer("op")).status == 200
        force = exporter.call("POST", "/unlock", b'{"force": true}', bearer("op"))
        assert force.json()["released"] == ["r1"]

        write_keys(keys_file, other="operator")
        assert exporter.call("POST", "/lock", body, bearer("op")).status == 401
        assert exporter.call("POST", "/lock", body, bearer("other")).status == 200
        exporter.process.terminate()
        _, err = exporter.process.communicate(timeout=PATIENCE)

    assert "leases released by force" in err, "it is logged"


def test_protected_reads_need_a_viewer(tmp_path: Path, keys_file: Path, llm: StatusServer) -> None:
    flags = ("--llm-url", llm.url, "--keys-file", str(keys_file), "--protect-reads")
    with running(tmp_path, *flags) as exporter:
        for path in ("/metrics", "/status", "/metrics/llamacpp"):
            assert exporter.call("GET", path).status == 401
            assert exporter.call("GET", path, headers=bearer("vi")).status == 200
        assert exporter.call("GET", "/-/ready").status == 200


def test_beyond_loopback_any_host_is_answered(tmp_path: Path, llm: StatusServer) -> None:
    flags = ("--llm-url", llm.url, "--insecure-open")
    with running(tmp_path, *flags, listen="0.0.0.0:0") as exporter:
        exporter.url = exporter.url.replace("0.0.0.0", "127.0.0.1")
        assert exporter.call("GET", "/-/ready", headers={"Host": "gpu-1.lan:8001"}).status == 200


def test_beyond_loopback_a_page_whose_name_was_made_to_point_here_locks_nothing(
    tmp_path: Path, llm: StatusServer
) -> None:
    """To the browser it is the page's own site: Host and Origin agree."""
    rebound = {"Host": "evil.com:8001", "Origin": "http://evil.com:8001"}
    flags = ("--llm-url", llm.url, "--insecure-open")
    with running(tmp_path, *flags, listen="0.0.0.0:0") as exporter:
        exporter.url = exporter.url.replace("0.0.0.0", "127.0.0.1")
        answers = [exporter.call("POST", path, headers=rebound) for path in ("/lock", "/unlock")]
        status = exporter.call("GET", "/status").json()

    assert [answer.status for answer in answers] == [403, 403]
    assert status["locked"] is False


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


def test_tls_is_spoken_and_a_silent_client_keeps_nobody_from_entering(
    tmp_path: Path, certificate: tuple[Path, Path], llm: StatusServer
) -> None:
    cert, key = certificate
    flags = ("--llm-url", llm.url, "--tls-cert", str(cert), "--tls-key", str(key))
    with running(tmp_path, *flags) as exporter:
        address = (urlsplit(exporter.url).hostname or "", urlsplit(exporter.url).port or 0)
        context = ssl.create_default_context(cafile=str(cert))
        with socket.create_connection(address, timeout=PATIENCE):
            with (
                socket.create_connection(address, timeout=5.0) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as secret,
            ):
                secret.sendall(b"GET /-/ready HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
                answer = b"".join(iter(lambda: secret.recv(4096), b""))
        plain_text = raw(exporter, SMUGGLED)
        exporter.process.terminate()
        _, err = exporter.process.communicate(timeout=PATIENCE)

    assert exporter.url.startswith("https://")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"200 OK" not in plain_text
    assert "Traceback" not in err


def test_a_renewed_certificate_counts_from_the_next_connection_and_a_broken_one_changes_nothing(
    tmp_path: Path, llm: StatusServer
) -> None:
    """Whoever renews it writes two files, one after the other."""
    cert, key = self_signed(tmp_path)
    first = cert.read_text("ascii")
    flags = ("--llm-url", llm.url, "--tls-cert", str(cert), "--tls-key", str(key))
    with running(tmp_path, *flags) as exporter:
        address = (urlsplit(exporter.url).hostname or "", urlsplit(exporter.url).port or 0)
        shown = [ssl.get_server_certificate(address, timeout=PATIENCE)]
        cert.write_text("-----BEGIN CERTIFICATE-----\nhalf", "ascii")
        shown += [ssl.get_server_certificate(address, timeout=PATIENCE) for _ in range(2)]
        self_signed(tmp_path)
        renewed = cert.read_text("ascii")
        shown += [ssl.get_server_certificate(address, timeout=PATIENCE)]
        exporter.process.terminate()
        _, err = exporter.process.communicate(timeout=PATIENCE)

    assert shown == [first, first, first, renewed]
    assert err.count("certificate not taken, the old one stays") == 1
    assert err.count("certificate taken") == 1
