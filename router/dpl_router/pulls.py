"""A model on its way to a node: the progress that the node tells, line by line."""

import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

import msgspec

from dpl_router.errors import UpstreamBroke, UpstreamRefused
from dpl_router.loose_json import MALFORMED, OBJECT, is_error, raw, readable
from dpl_router.upstreams.base import Request
from dpl_router.upstreams.clients import NodeClient
from dpl_router.upstreams.complaint import complaint
from dpl_router.upstreams.ndjson import NdjsonReader
from dpl_router.upstreams.stream import Timeouts

PATIENCE = Timeouts(connect=5.0, first_byte=60.0, idle=600.0, total=86400.0)
"""Seconds. A node is silent while it checks many gigabytes; a day is for slow lines."""
ERROR_BODY = 64 * 1024
SUCCESS = "success"

PLAIN = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9_-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*(:[A-Za-z0-9_][A-Za-z0-9._-]*)?"
)
"""Model, or whose and model, in the registry that a node asks by itself: a first part with a dot
or a port, and any of three parts, would be a host."""
LONGEST_NAME = 240

Progress = Mapping[str, object]
"""As Ollama tells it: `status`, and while a layer comes `digest`, `total`, `completed` in bytes."""


def plain(name: str) -> bool:
    """Whether the name is one that a request may have pulled: it leads to no host of its own."""
    return len(name) <= LONGEST_NAME and PLAIN.fullmatch(name) is not None


async def pulled(client: NodeClient, request: Request) -> AsyncGenerator[Progress, None]:
    """Until the node says that it has the model. Leaving early stops the node's download.

    Raises: UpstreamRefused with the node's words where it fails, UpstreamError.
    """
    stream, lines = client.ask(request, PATIENCE), NdjsonReader()
    try:
        head = await stream.head()
        if head.status != 200:
            raise client.dialect.refusal(head, await stream.read_start(ERROR_BODY))
        more = True
        while more:
            if data := stream.take():
                found = lines.feed(data)
            else:
                more = await stream.more()
                found = [] if more else lines.end()
            for progress in read(found):
                yield progress
                if progress.get("status") == SUCCESS:
                    return
        raise UpstreamBroke("the node ended the pull without success")
    finally:
        stream.close()


def read(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            progress, line = readable(OBJECT.decode, line)
        except msgspec.ValidationError:
            raise UpstreamBroke("the node told no object of its pull") from None
        except MALFORMED as error:
            raise UpstreamBroke("the node told no JSON of its pull") from error
        if is_error(raw(progress.get("error"))):
            why = complaint(line) or "the node does not say why"
            raise UpstreamRefused(f"the pull failed: {why}", 200)
        yield progress
