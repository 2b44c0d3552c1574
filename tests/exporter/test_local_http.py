"""One call, one deadline, whatever the other side does."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from dpl_exporter.collectors.answers import rows
from dpl_exporter.errors import LlmBadAnswer, LlmError, LlmUnreachable
from dpl_exporter.local_http import Answer, Calls, Place, tls_for
from tests.exporter.certificates import self_signed
from tests.fakes.llm_status import RECORDINGS, Said, black_hole, say, status_server

PATIENCE = 10.0


@contextmanager
def raw_server(pieces: list[bytes], pause: float) -> Iterator[str]:
    """Sends the pieces one by one to the first caller, then closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                for piece in pieces:
                    try:
                        connection.sendall(piece)
                    except OSError:
                        return
                    time.sleep(pause)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(PATIENCE)


@contextmanager
def full_server() -> Iterator[tuple[str, int]]:
    """Its queue is full: who connects now waits for the end of time."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        address: tuple[str, int] = server.getsockname()
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(address)
        yield address


def test_an_answer_comes_whole_with_its_status_and_type() -> None:
    with status_server({"/x": Said(b"abc", 418, "text/tea")}) as server:
        answer = Calls(server.url, PATIENCE).get("/x")

    assert (answer.status, answer.content_type, answer.body) == (418, "text/tea", b"abc")


def test_a_chunked_answer_is_put_together() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw_server([head, b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n"], 0.01) as url:
        assert Calls(url, PATIENCE).get("/").body == b"abcde"


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
def test_a_server_that_drips_byte_by_byte_is_cut_off(head: bytes) -> None:
    """A time-out from byte to byte would never end."""
    with raw_server([head, *([b"H"] * 100)], 0.02) as url:
        started = time.monotonic()
        with pytest.raises(LlmUnreachable):
            Calls(url, 0.2).get("/")

        assert time.monotonic() - started < 1.5


def test_a_silent_server_and_a_closed_port_are_unreachable() -> None:
    with black_hole() as url, pytest.raises(LlmUnreachable):
        Calls(url, 0.1).get("/")
    with pytest.raises(LlmUnreachable):
        Calls(url, PATIENCE).get("/")


def test_calls_share_one_deadline() -> None:
    with status_server({}) as server:
        calls = Calls(server.url, 0.05)
        time.sleep(0.1)
        with pytest.raises(LlmUnreachable):
            calls.get("/")

        assert server.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"",
    ],
)
def test_what_is_no_http_is_an_error_of_ours(answer: bytes) -> None:
    with raw_server([answer], 0.0) as url, pytest.raises(LlmError):
        Calls(url, PATIENCE).get("/")


@pytest.mark.parametrize(
    ("ask", "mebibytes"), [(Calls.get, 1), (Calls.page, 8)], ids=["json", "metrics"]
)
def test_an_endless_answer_is_refused(ask: Callable[[Calls, str], Answer], mebibytes: int) -> None:
    """8 MiB of `{}` were 250 MB of objects, and stopped all threads while they were made."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    with raw_server([head, *([b"x" * 2**20] * (mebibytes + 1))], 0.0) as url:
        with pytest.raises(LlmBadAnswer, match=f"larger than {mebibytes} MiB"):
            ask(Calls(url, PATIENCE), "/")


def test_a_list_of_two_thousand_models_of_ollama_is_no_endless_answer() -> None:
    (one,) = json.loads((RECORDINGS / "ollama" / "tags.json").read_text())["models"][:1]
    with status_server({"/api/tags": say({"models": [one] * 2000})}) as server:
        assert len(rows(Calls(server.url, PATIENCE).get("/api/tags").document(), "models")) == 100


def test_a_server_that_speaks_tls_is_reached_with_the_authorities_that_are_given(
    tmp_path: Path,
) -> None:
    """They are read once: each time anew they cost more than the call."""
    cert, key = self_signed(tmp_path)
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(cert, key)
    with (
        socket.create_server(("127.0.0.1", 0)) as plain,
        inside.wrap_socket(plain, server_side=True) as server,
    ):

        def serve() -> None:
            for _ in range(2):
                with suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        ours = ssl.create_default_context(cafile=cert)
        assert Calls(url, PATIENCE, tls=ours).get("/").body == b"ok"
        with pytest.raises(LlmUnreachable):
            Calls(url, PATIENCE, tls=tls_for(url)).get("/")
        thread.join(PATIENCE)


def test_a_name_server_that_is_silent_is_cut_off() -> None:
    """The system's own look-up has no time-out that we could set."""
    release = threading.Event()

    def silent(_host: str, _port: int) -> list[Place]:
        release.wait(PATIENCE)
        return []

    started = time.monotonic()
    with pytest.raises(LlmUnreachable):
        Calls("http://gpu-1.lan:8080", 0.2, silent).get("/")
    took = time.monotonic() - started
    release.set()

    assert took < 1.5


def test_addresses_of_one_name_share_the_deadline_and_the_next_one_is_tried() -> None:
    closed = ("127.0.0.1", 9)
    with status_server({"/x": say({"a": 1})}) as server:
        open_ = ("127.0.0.1", int(server.url.rpartition(":")[2]))

        def both(_host: str, _port: int) -> list[Place]:
            return [(socket.AF_INET, address) for address in (closed, open_)]

        assert Calls("http://gpu-1.lan", PATIENCE, both).get("/x").status == 200
    with full_server() as address:

        def many(_host: str, _port: int) -> list[Place]:
            return [(socket.AF_INET, address)] * 20

        started = time.monotonic()
        with pytest.raises(LlmUnreachable):
            Calls("http://gpu-1.lan", 0.2, many).get("/")

        assert time.monotonic() - started < 1.5


def test_a_name_without_addresses_is_unreachable() -> None:
    with pytest.raises(LlmUnreachable):
        Calls("http://gpu-1.lan", PATIENCE, lambda _host, _port: []).get("/")


@pytest.mark.parametrize(
    "url", ["http://a..b", "http://no-such-host.invalid", "http://[::1", "http://a\x00b"]
)
def test_an_address_that_leads_nowhere_is_unreachable(url: str) -> None:
    with pytest.raises((LlmUnreachable, ValueError)):
        Calls(url, PATIENCE).get("/")


def test_json_with_an_error_in_it_is_no_answer() -> None:
    with status_server({"/a": say({"error": "Unexpected endpoint"}), "/b": say([1])}) as server:
        calls = Calls(server.url, PATIENCE)
        for path in ("/a", "/b", "/c"):
            with pytest.raises(LlmBadAnswer):
                calls.get(path).mapping()


def test_a_server_on_ipv6_is_reached() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        threading.Thread(target=serve, daemon=True).start()
        assert Calls(f"http://[::1]:{port}", PATIENCE).get("/").body == b"ok"
