"""The dialect of a node that did not say what it is: OpenAI's, until its models say more."""

import time
from collections.abc import Callable, Sequence

from dpl_router.conversation import ChatRequest
from dpl_router.errors import DplError, UpstreamBroke
from dpl_router.listing import Listed
from dpl_router.upstreams.base import Decoder, Dialect, Head, Request
from dpl_router.upstreams.calls import NDJSON, SSE, media_type
from dpl_router.upstreams.llamacpp import LlamaCppDialect
from dpl_router.upstreams.ollama import OllamaDialect
from dpl_router.upstreams.openai import OpenAiDialect
from dpl_router.upstreams.openai_chunks import MODELS, owner

OLLAMA = "library"
"""What Ollama says in `owned_by` of the models of its own registry; of others it names who made
them, so its own list is looked for as well."""
LLAMACPP = "llamacpp"
"""What llama.cpp says of each; it answers Ollama's /api/tags, too."""
OTHERS = frozenset({"vllm", "sglang", "organization_owner", "organization-owner"})
"""Of vLLM, SGLang and LM Studio: they have no other list, and need not be asked for one."""


class AutoDialect:
    """Looks at every list of models, so a node that is replaced by another kind is known anew."""

    ONE: Sequence[Request] = OpenAiDialect.looks
    ALL: Sequence[Request] = (*OpenAiDialect.looks, *OllamaDialect.looks)

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._openai = OpenAiDialect(clock)
        self._llamacpp = LlamaCppDialect(clock)
        self._ollama = OllamaDialect(clock)
        self._asks: Dialect = self._openai
        self.name = self._asks.name
        """Of the dialect that it is spoken to in."""
        self.looks = self.ALL

    def request(self, call: ChatRequest, model: str) -> Request:
        return self._asks.request(call, model)

    def second(self, call: ChatRequest, model: str, head: Head, body: bytes) -> Request | None:
        return self._asks.second(call, model, head, body)

    def decoder(self, call: ChatRequest, model: str, head: Head) -> Decoder:
        """As the head says what came: a list may have come since the call was sent. llama.cpp's
        reads OpenAI's, too."""
        media = media_type(head)
        if media == NDJSON or (self._asks is self._ollama and media != SSE):
            return self._ollama.decoder(call, model, head)
        return self._llamacpp.decoder(call, model, head)

    def refusal(self, head: Head, body: bytes) -> DplError:
        return self._asks.refusal(head, body)

    def read_models(self, bodies: Sequence[bytes | None]) -> Sequence[Listed]:
        listed: Sequence[Listed] = self._openai.read_models(bodies[:1])
        more = bodies[1:]
        owners = {owner(model) for model in MODELS.decode(bodies[0] or b"").data or ()}
        ollamas = None
        if owners == {LLAMACPP}:
            self._asks = self._llamacpp
            props = more if len(bodies) == len(LlamaCppDialect.looks) else ()
            listed = self._llamacpp.read_models([*bodies[:1], *props])
        elif not owners.isdisjoint(OTHERS):
            self._asks = self._openai
        else:
            ollamas = self._ollamas(more if len(bodies) == len(self.ALL) else ())
            if ollamas is not None or OLLAMA in owners:
                self._asks = self._ollama
            elif owners:
                self._asks = self._openai
        self.name = self._asks.name
        known = not owners.isdisjoint(OTHERS)
        self.looks = self.ONE if known else self.ALL
        if self._asks is self._llamacpp:
            self.looks = LlamaCppDialect.looks
        return listed if ollamas is None else ollamas

    def _ollamas(self, bodies: Sequence[bytes | None]) -> Sequence[Listed] | None:
        """Its own lists as Ollama tells them; None where it is no Ollama, or they did not come."""
        if not bodies or bodies[0] is None:
            return None
        try:
            return self._ollama.read_models(bodies)
        except UpstreamBroke:
            return None  # LM Studio answers 200 with an error to any path
