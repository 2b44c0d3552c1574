"""The router's own word of the alarm chain's silence, to a mail server and to a webhook."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from dpl_router.errors import Unavailable
from dpl_router.metrics import RouterMetrics
from dpl_router.remediation.dead_man import DeadMan
from dpl_router.remediation.herald import AGAIN_SECONDS, APART_SECONDS, MOST_TRIES, Herald
from dpl_router.remediation.ways import Letters, Notice, Webhook
from dpl_router.settings import Mail, parse_address
from tests.fakes.smtp import MailSink
from tests.fakes.wire import Peer, served

TO = ("ops@example.org", "night@example.org")


def a_switch() -> DeadMan:
    return DeadMan(RouterMetrics(CollectorRegistry()).view, awaited=True, silence=10.0)


def mail(address: str, *, tls: bool = False) -> Mail:
    return Mail(parse_address(address, "test"), "dpl@example.org", TO, tls=tls)


class Board:
    """A way that can be blocked."""

    def __init__(self) -> None:
        self.blocked = False
        self.tries = 0
        self.read: list[bool] = []

    async def __call__(self, notice: Notice) -> None:
        self.tries += 1
        if self.blocked:
            raise Unavailable("blocked")
        self.read.append(notice.firing)


async def test_silence_and_its_end_are_told_once_each() -> None:
    switch, board = a_switch(), Board()
    switch.heard()
    heard = switch.last or 0.0
    herald = Herald(switch, "board", board)

    for late in (1, 11, 12, 50):
        await herald.look(heard + late)
    switch.last = heard + 60
    for late in (60, 61):
        await herald.look(heard + late)

    assert board.read == [True, False]


async def test_what_does_not_arrive_is_tried_again_but_not_for_ever() -> None:
    switch, board = a_switch(), Board()
    switch.heard()
    heard = switch.last or 0.0
    board.blocked = True
    herald = Herald(switch, "board", board)

    for second in range(11, round(AGAIN_SECONDS) * (MOST_TRIES + 5)):
        await herald.look(heard + second)

    assert board.tries == MOST_TRIES


async def test_a_silence_that_nobody_was_told_of_ends_without_a_word() -> None:
    switch, board = a_switch(), Board()
    switch.heard()
    heard = switch.last or 0.0
    board.blocked = True
    herald = Herald(switch, "board", board)
    await herald.look(heard + 11)

    board.blocked, switch.last = False, heard + 20
    await herald.look(heard + 21)

    assert board.read == []


async def test_a_chain_that_comes_and_goes_is_told_once_in_a_while() -> None:
    switch, board = a_switch(), Board()
    switch.heard()
    heard = switch.last or 0.0
    herald = Herald(switch, "board", board)

    for second in range(round(2 * APART_SECONDS)):
        if second % 20 == 0:
            switch.last = heard + second
        await herald.look(heard + second)

    assert board.read == [True, False, True, False]


async def test_a_letter_reaches_everybody() -> None:
    with MailSink() as sink:
        await Letters(mail(sink.address))(Notice(True, "[FIRING] é", "See the overview."))

        (letter,) = sink.letters

    assert (letter.sender, letter.to, letter.subject) == ("dpl@example.org", TO, "[FIRING] é")
    assert letter.text.strip() == "See the overview."


@pytest.mark.parametrize("tls", [False, True])
async def test_a_mail_server_that_will_not_is_told(tls: bool) -> None:
    """With TLS asked for, one that speaks none gets neither letter nor password."""
    with MailSink() as sink:
        sink.refuses = True
        with pytest.raises(Unavailable):
            await Letters(mail(sink.address, tls=tls))(Notice(True, "s", "t"))

        assert sink.letters == []


@pytest.mark.parametrize("bye", [b"421 not so\r\n", b""])
async def test_a_letter_that_was_taken_counts_whatever_quit_says(bye: bytes) -> None:
    with MailSink() as sink:
        sink.bye = bye
        await Letters(mail(sink.address))(Notice(True, "s", "t"))

        assert len(sink.letters) == 1


async def test_a_password_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with MailSink() as sink:
        of = Mail(parse_address(sink.address, "test"), "a@b", TO, "u", tmp_path / "gone", tls=False)
        with pytest.raises(Unavailable, match="gone"):
            await Letters(of)(Notice(True, "s", "t"))


@pytest.fixture
async def hook() -> AsyncIterator[tuple[str, list[bytes]]]:
    asked: list[bytes] = []

    async def script(peer: Peer) -> None:
        asked.append(await peer.request())
        await peer.answer(b"ok")

    async with served(script) as url:
        yield url, asked


async def test_a_webhook_gets_words_that_a_chat_can_show(hook: tuple[str, list[bytes]]) -> None:
    url, asked = hook
    await Webhook(f"{url}/services/T0/secret?x=1")(Notice(True, "Silent", "Look."))

    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /services/T0/secret?x=1 HTTP/1.1\r\n")
    assert json.loads(body) == {"text": "Silent. Look.", "status": "firing", "subject": "Silent"}


async def test_the_address_of_a_webhook_is_in_no_error() -> None:
    with pytest.raises(Unavailable) as told:
        await Webhook("http://user:pass@127.0.0.1:9/secret")(Notice(True, "s", "t"))

    assert "secret" not in told.value.message
    assert "pass" not in told.value.message
