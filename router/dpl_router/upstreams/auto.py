"""The dialect of a node that did not say what it is: OpenAI's, until its models say more."""

import time
from collections.abc import Callable, Sequence

from dpl_router.conversation import ChatRequest
from dpl_router.errors import DplError
from dpl_router.listing import Listed
from dpl_router.upstreams.base import Decoder, Dialect, Head, Request
from dpl_router.upstreams.llamacpp import LlamaCppDialect
from dpl_router.upstreams.openai import OpenAiDialect
from dpl_router.upstreams.openai_chunks import MODELS

LLAMACPP = "llamacpp"
"""What llama.cpp says in `owned_by` of each model."""


class AutoDialect:
    """Looks at every list of models, so a node that is replaced by another kind is known anew."""

    name = "auto"
    looks: Sequence[Request] = OpenAiDialect.looks

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._openai = OpenAiDialect(clock)
        self._llamacpp = LlamaCppDialect(clock)
        self._asks: Dialect = self._openai

    def request(self, call: ChatRequest, model: str) -> Request:
        return self._asks.request(call, model)

    def decoder(self, call: ChatRequest, model: str, head: Head) -> Decoder:
        """llama.cpp's, which reads both: a list may have come since the call was sent."""
        return self._llamacpp.decoder(call, model, head)

    def refusal(self, head: Head, body: bytes) -> DplError:
        return self._openai.refusal(head, body)

    def read_models(self, bodies: Sequence[bytes | None]) -> Sequence[Listed]:
        listed = self._openai.read_models(bodies)
        if listed:
            owners = [model.owned_by for model in MODELS.decode(bodies[0] or b"").data or ()]
            ours = all(owner == LLAMACPP for owner in owners)
            self._asks = self._llamacpp if ours else self._openai
        return listed
