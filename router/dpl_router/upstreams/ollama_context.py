"""Which context a call to an Ollama node is sent with, and whether the node cut the prompt to it.

Why (recordings facts 27, 35): a call that names another context than the loaded one reloads the
model, and one that names none means the node's default, so mixed clients would reload it at each
turn. A prompt that is too long is cut in silence, to the context (0.24) or to half of it (0.32).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from dpl_router.conversation import ChatRequest
from dpl_router.errors import BadRequest
from dpl_router.loose_json import FIELDS, MALFORMED, ODD, Fields, raw
from dpl_router.translation.parts import object_at
from dpl_router.upstreams.calls import (
    body_of,
    renamed,
)

BYTES_A_TOKEN = 4
NEAR = 8
"""Tokens around a cut that still are one: the template's own stand beside the prompt's."""
ROOM, MUCH_ROOM = 1.1, 1.6
"""How far above the context a prompt must be: where the count is that of a cut, and elsewhere."""
LEAST_CUT, BYTES_NO_TOKEN_HAS = 256, 12
"""Where the context is unknown."""
SAID_IN = ("messages", "prompt", "system")
NO_TEXT = frozenset({"images", "image_url", "role", "type"})
REGISTRY = "registry.ollama.ai/"
LIBRARY = "library/"


def canonical(name: str) -> str:
    """As Ollama compares names: in any case, with the tag that is meant."""
    name = name.casefold().removeprefix(REGISTRY).removeprefix(LIBRARY)
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


class Contexts:
    """What is loaded on one node with which context, in tokens."""

    def __init__(self) -> None:
        self._loaded: Mapping[str, int] = {}

    def learn(self, loaded: Mapping[str, int]) -> None:
        """By canonical name."""
        self._loaded = loaded

    def chosen(self, call: ChatRequest, model: str, own: Any) -> Any:
        """The context to send, where the client named `own`; None for none."""
        if own is None:
            return self._loaded.get(canonical(model)) or call.context
        if isinstance(own, int) and call.context is not None:
            return max(own, call.context)
        return own

    def native(self, call: ChatRequest, model: str) -> bytes:
        """The client's own bytes with the node's name of the model and the context."""
        if canonical(model) not in self._loaded and call.context is None:
            return renamed(call, model)
        fields = FIELDS.decode(call.body)
        options = options_of(fields)
        if options is None:
            return renamed(call, model)
        said = options.get("num_ctx")
        own = None if said is None else number(said)
        chosen = self.chosen(call, model, own)
        if chosen == own:
            return renamed(call, model)
        named = {**options, "num_ctx": raw(chosen)}
        return msgspec.json.encode({**fields, "model": raw(model), "options": raw(named)})

    def translated(self, call: ChatRequest, model: str, fields: dict[str, Any]) -> bytes:
        """A body in Ollama's words, likewise."""
        options = object_at(fields.get("options"), "options")
        chosen = self.chosen(call, model, options.get("num_ctx"))
        if chosen is not None:
            fields = {**fields, "options": {**options, "num_ctx": chosen}}
        return msgspec.json.encode({"model": model, **fields, "stream": call.stream})

    def sent(self, call: ChatRequest, model: str) -> int | None:
        """What `call` was sent with; None where that is the node's to say."""
        body = body_of(call)
        options = body.get("options")
        own = options.get("num_ctx") if isinstance(options, dict) else None
        chosen = self.chosen(call, model, body.get("num_ctx") if own is None else own)
        return chosen if isinstance(chosen, int) else None


def number(said: msgspec.Raw) -> Any:
    """`num_ctx`. What is no number is the node's to refuse. Raises: BadRequest, out of range."""
    try:
        return msgspec.json.decode(said)
    except MALFORMED as error:
        place = "options.num_ctx"
        raise BadRequest(f"{place}: {error}", param=place) from None


def options_of(fields: Fields) -> Fields | None:
    """None where they are no object: the node shall refuse them as they are."""
    said = fields.get("options")
    if said is None or bytes(said) == b"null":
        return {}
    try:
        return FIELDS.decode(said)
    except MALFORMED:
        return None


class Prompt:
    """Of one call: whether the node cut it. Told only where that is beyond doubt."""

    def __init__(self, call: ChatRequest, model: str, contexts: Contexts) -> None:
        self._call = call
        self._model = model
        self._contexts = contexts

    def cut(self, evaluated: int) -> bool:
        """`evaluated`: the tokens of prompt that the node counted, cached ones too.

        The answer is there: a body that cannot be read again does not take it away.
        """
        try:
            return self._cut(evaluated)
        except (BadRequest, *ODD):
            return False

    def _cut(self, evaluated: int) -> bool:
        if evaluated <= 0 or self._call.prompt_tokens <= ROOM * evaluated:
            return False
        size = sum(text_sizes(body_of(self._call)))
        context = self._contexts.sent(self._call, self._model)
        if context is None:
            return evaluated >= LEAST_CUT and size > BYTES_NO_TOKEN_HAS * evaluated
        if evaluated > context + NEAR:
            return False
        at_cut = any(abs(evaluated - cut) <= NEAR for cut in (context, context // 2))
        return size > BYTES_A_TOKEN * context * (ROOM if at_cut else MUCH_ROOM)


def text_sizes(body: Mapping[str, Any]) -> Iterator[int]:
    """Bytes of each text that the prompt is made of."""
    for name in SAID_IN:
        yield from _sizes(body.get(name))


def _sizes(said: Any) -> Iterator[int]:
    if isinstance(said, str):
        yield len(said.encode())
    elif isinstance(said, list):
        for one in said:
            yield from _sizes(one)
    elif isinstance(said, dict):
        for name, one in said.items():
            if name not in NO_TEXT:
                yield from _sizes(one)


def never(evaluated: int) -> bool:
    """For answers whose count is not that of one prompt."""
    return False
