"""The table of writers: whose words a client hears."""

from collections.abc import Callable

from dpl_router.conversation import ChatRequest
from dpl_router.translation.ollama_writer import ollama_writer
from dpl_router.translation.openai_writer import openai_writer
from dpl_router.translation.writer import Writer


def writer_for(call: ChatRequest, seen: str, clock: Callable[[], float]) -> Writer:
    """For `call.api`, but for `opaque`. `seen`: the model's name for the client; `clock` tells
    seconds since the epoch."""
    if call.api.startswith("ollama."):
        return ollama_writer(call, seen, clock)
    return openai_writer(call, seen, clock())
