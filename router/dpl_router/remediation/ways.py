"""Two ways to people that need no Alertmanager: a webhook and a mail server."""

import asyncio
import contextlib
import smtplib
import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import urlsplit

import msgspec

from dpl_router.control import NO_ANSWER, Control
from dpl_router.errors import Unavailable
from dpl_router.settings import Mail

SECONDS = 20.0
"""For a webhook's answer."""
STEP_SECONDS = 5.0
"""For one step of the talk with a mail server."""
TLS_FROM_THE_START = 465
MOST_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Notice:
    firing: bool
    subject: str
    text: str


Way = Callable[[Notice], Awaitable[None]]
"""Raises: Unavailable where it did not arrive. Never says a secret."""


class Webhook:
    """A POST of JSON; `text` is what Slack, Mattermost and their like show."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._path = url.removeprefix(self._base) or "/"

    async def __call__(self, notice: Notice) -> None:
        body = {
            "text": f"{notice.subject}. {notice.text}",
            "status": "firing" if notice.firing else "resolved",
            "subject": notice.subject,
        }
        control = Control(self._base)
        host = urlsplit(self._base).hostname
        try:
            answer = await control.post(
                self._path, msgspec.json.encode(body), seconds=SECONDS, most=MOST_ANSWER
            )
        except NO_ANSWER as error:  # its message holds the path, which is often the secret
            raise Unavailable(f"{host} did not take it") from error
        finally:
            await control.close()
        if answer.status >= 300:
            raise Unavailable(f"{host} answered {answer.status}")


class Letters:
    """Written on a thread of its own, which cannot hold up the router's end.

    It alone knows whether a letter was taken, so it is waited for however slow the server is: what
    is given up on arrives all the same, and a second time from the next try.
    """

    def __init__(self, mail: Mail) -> None:
        self._mail = mail

    async def __call__(self, notice: Notice) -> None:
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[Exception | None] = loop.create_future()

        def tell(outcome: Exception | None) -> None:
            if not sent.done():
                sent.set_result(outcome)

        def work() -> None:
            outcome: Exception | None = OSError("the thread ended without a word")
            try:
                send(self._mail, notice)
                outcome = None
            except (OSError, ValueError, smtplib.SMTPException) as error:
                outcome = error
            finally:
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(tell, outcome)

        threading.Thread(target=work, name="letter", daemon=True).start()
        failed = await sent
        if failed is not None:
            raise Unavailable(f"{self._mail.server}: {_words(failed)}") from failed


def _words(error: Exception) -> str:
    """What a log may show of a mail server's refusal."""
    said = str(error)[:200]
    return "".join(sign if sign.isprintable() else " " for sign in said) or type(error).__name__


def send(mail: Mail, notice: Notice) -> None:
    """Raises: OSError, ValueError (the password's file), smtplib.SMTPException."""
    letter = EmailMessage()
    letter["Subject"], letter["From"] = notice.subject, mail.sender
    letter["To"] = ", ".join(mail.to)
    letter["Date"], letter["Message-ID"] = formatdate(localtime=True), make_msgid()
    letter.set_content(notice.text)
    server = _connect(mail)
    try:
        if mail.user is not None and mail.password_file is not None:
            server.login(mail.user, mail.password_file.read_text(encoding="utf-8").strip())
        server.send_message(letter, mail.sender, list(mail.to))
    finally:  # what it says to QUIT changes nothing: a letter that it took must not come twice
        with contextlib.suppress(OSError, smtplib.SMTPException):
            server.putcmd("quit")
        server.close()


def _connect(mail: Mail) -> smtplib.SMTP:
    host, port = mail.server.host, mail.server.port
    if port == TLS_FROM_THE_START:
        return smtplib.SMTP_SSL(
            host, port, timeout=STEP_SECONDS, context=ssl.create_default_context()
        )
    server = smtplib.SMTP(host, port, timeout=STEP_SECONDS)
    if mail.tls:
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server
