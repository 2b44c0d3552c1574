"""httpx for the control plane (Prometheus, Alertmanager, exporters): the one place.

The data path never comes here: httpx's pool does not survive cancellation under load.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    retry_if_not_exception_type,
    stop_after_attempt,
    wait_random,
)

from dpl_router.errors import Unavailable, UpstreamSilent

MAX_ANSWER = 8 * 1024 * 1024
AT_ONCE = 16
NO_ANSWER = (Unavailable, UpstreamSilent)
"""What a call raises where the peer gave nothing to go by."""


T = TypeVar("T")


def read_json(decode: Callable[[bytes], T], body: bytes, whose: str) -> T:
    """`body` as `decode`, a msgspec decoder's, reads it; `whose` begins the message of the error.

    Raises: Unavailable for whatever a peer may have sent instead.
    """
    try:
        return decode(body)
    # ValueError: bytes that are no UTF-8, found only where a text is read; RecursionError: brackets
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        raise Unavailable(f"{whose} answered something else: {error}") from error


@dataclass(frozen=True, slots=True)
class Answer:
    """What a control server said. `headers` keep their case-insensitive look-up."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def _shown(base: str) -> str:
    parts = urlsplit(base.rstrip("/"))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class _TooMuch(Unavailable):
    """Would be too much the second time as well."""


class Control:
    """One client per peer, so that a credential of one can never reach another.

    No redirects, no proxies from the environment, answers up to 8 MiB.
    """

    def __init__(
        self, base: str, *, key: str | None = None, verify: ssl.SSLContext | bool = True
    ) -> None:
        self.base = _shown(base)
        """For messages, which viewers read: without the user and the password of `base`."""
        # answers are read raw, so that their size is what is counted: nothing may be compressed
        headers = {"accept-encoding": "identity"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        self._client = httpx.AsyncClient(
            base_url=base.rstrip("/"),
            headers=headers,
            verify=verify,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=4),
        )
        # not by httpx's limit: a call cancelled while it waits there can keep its place for good
        self._places = asyncio.Semaphore(AT_ONCE)

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        seconds: float,
        tries: int = 1,
        most: int = MAX_ANSWER,
    ) -> Answer:
        """`seconds` are for the whole exchange of one try, `most` is the body's size in bytes.

        Raises: Unavailable (nothing came, or too much), UpstreamSilent (not in time; such a call
        is not tried again).
        """
        async for attempt in AsyncRetrying(
            stop=stop_after_attempt(tries),
            wait=wait_random(0.05, 0.15),
            retry=retry_if_exception_type(Unavailable) & retry_if_not_exception_type(_TooMuch),
            reraise=True,
        ):
            with attempt:
                return await self._send("GET", path, params=params, seconds=seconds, most=most)
        raise AssertionError("tenacity ends by raising")

    async def post(
        self, path: str, body: bytes, *, seconds: float, most: int = MAX_ANSWER
    ) -> Answer:
        """A JSON body; never retried. Raises: Unavailable, UpstreamSilent."""
        return await self._send("POST", path, body=body, seconds=seconds, most=most)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        most: int = MAX_ANSWER,
    ) -> Answer:
        content_type = {"content-type": "application/json"} if body is not None else {}
        try:
            # httpx's own time-out starts anew with each byte: a dripping peer would never end
            async with (
                asyncio.timeout(seconds),
                self._places,
                self._client.stream(
                    method, path, params=params, content=body, headers=content_type, timeout=None
                ) as response,
            ):
                pieces = bytearray()
                async for piece in response.aiter_raw():
                    pieces += piece
                    if len(pieces) > most:
                        raise _TooMuch(f"{self.base}{path} answered more than {most // 1024} KiB")
                return Answer(response.status_code, bytes(pieces), response.headers)
        except TimeoutError as error:
            raise UpstreamSilent(f"{self.base}{path} did not answer in {seconds:g} s") from error
        except httpx.TransportError as error:
            raise Unavailable(f"{self.base}{path} cannot be reached: {error}") from error

    async def close(self) -> None:
        await self._client.aclose()
