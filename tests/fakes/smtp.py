"""A mail server that keeps every letter: as much of RFC 5321 as a client without TLS speaks.

    with MailSink() as mail:
        ...                      # smtp_smarthost: mail.address
        letter = mail.wait(lambda letter: "gpu-1" in letter.subject, seconds=20)

`refuses` = True: every address is put off with 452, as by a server that is full. (Not the letter
itself: Alertmanager 0.25 does not read what is said after its end.)
"""

import asyncio
import email
import email.policy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from types import TracebackType
from typing import Self

LONGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Letter:
    """`sender` and `to` are the envelope's; `subject` is decoded; absent parts are empty."""

    sender: str
    to: tuple[str, ...]
    subject: str
    html: str
    text: str

    @classmethod
    def read(cls, sender: str, to: tuple[str, ...], data: bytes) -> Self:
        message = email.message_from_bytes(data, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return cls(
            sender, to, str(message["Subject"]), part(message, "html"), part(message, "plain")
        )


def part(message: EmailMessage, kind: str) -> str:
    found = message.get_body((kind,))
    return str(found.get_content()) if found is not None else ""


class MailSink:
    """The server, on a thread and a port of its own."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self.refuses = False
        self.bye = b"221 bye\r\n"
        self.refused = 0
        """How often."""
        self.letters: list[Letter] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="mail-sink", daemon=True)
        self._ready = threading.Event()
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the mail sink does not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def wait(self, wanted: Callable[[Letter], bool], seconds: float) -> Letter:
        """The first letter that is wanted, come or to come. Fails after `seconds`."""
        end = time.monotonic() + seconds
        while not (found := [letter for letter in self.letters if wanted(letter)]):
            subjects = [letter.subject for letter in self.letters]
            assert time.monotonic() < end, f"no such letter in {seconds:g} s, only {subjects}"
            time.sleep(0.05)
        return found[0]

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._talk, self.host, self.port, limit=LONGEST)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        talks = asyncio.all_tasks() - {asyncio.current_task()}
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._dialogue(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    async def _dialogue(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender, to = "", list[str]()
        writer.write(b"220 sink ready\r\n")
        while line := (await reader.readline()).decode("utf-8", "replace").strip():
            verb, _, rest = line.partition(" ")
            match verb.upper():
                case "EHLO" | "HELO" | "RSET" | "NOOP":
                    writer.write(b"250 sink\r\n")
                case "MAIL":
                    sender, to = address_in(rest), []
                    writer.write(b"250 ok\r\n")
                case "RCPT" if self.refuses:
                    self.refused += 1
                    writer.write(b"452 full, try again later\r\n")
                case "RCPT":
                    to.append(address_in(rest))
                    writer.write(b"250 ok\r\n")
                case "DATA":
                    writer.write(b"354 go on\r\n")
                    data = await reader.readuntil(b"\r\n.\r\n")
                    # a line that begins with a point has got a second one (RFC 5321, 4.5.2)
                    plain = data[:-3].replace(b"\r\n..", b"\r\n.")
                    self.letters.append(Letter.read(sender, tuple(to), plain))
                    writer.write(b"250 taken\r\n")
                case "QUIT":
                    writer.write(self.bye)
                    return
                case _:
                    writer.write(b"502 not here\r\n")


def address_in(path: str) -> str:
    """`FROM:<a@b> BODY=8BITMIME` -> `a@b`."""
    return path.partition("<")[2].partition(">")[0]
