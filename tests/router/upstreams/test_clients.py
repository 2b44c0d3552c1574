"""A node as the router asks it: what its dialect cannot say is the client's to mend."""

from collections.abc import Callable

import pytest

from dpl_router.conversation import ChatRequest
from dpl_router.errors import BadRequest, NotFound
from dpl_router.inventory.types import Node
from dpl_router.upstreams.base import Request
from dpl_router.upstreams.clients import NodeClient
from dpl_router.upstreams.openai import OpenAiDialect
from dpl_router.upstreams.transport import Sweeper


class Failing(OpenAiDialect):
    def __init__(self, fail: Callable[[], object]) -> None:
        super().__init__()
        self._fail = fail

    def request(self, call: ChatRequest, model: str) -> Request:
        self._fail()
        raise NotFound("our own words stay as they are")


@pytest.mark.parametrize(
    ("fail", "refusal"),
    [
        (lambda: hash([]), BadRequest),
        (lambda: getattr([], "get"), BadRequest),  # noqa: B009 - mypy knows that there is none
        (lambda: int(1e400), BadRequest),
        (lambda: b"\xff".decode(), BadRequest),
        (lambda: None, NotFound),
    ],
)
async def test_a_body_that_no_dialect_can_say_is_the_clients_to_mend(
    fail: Callable[[], object], refusal: type[Exception]
) -> None:
    client = NodeClient(Node("a", "http://127.0.0.1:1"), Sweeper())
    client.dialect = Failing(fail)

    with pytest.raises(refusal):
        client.send(ChatRequest("r1", "m", b"{}", False, False, 1), "m", first_byte=1.0)

    assert client.active == 0
    client.close()
