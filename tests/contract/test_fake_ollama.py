"""Recorded truth: the fake Ollama answers as a real one did.

Each recorded request goes to the fake, in the recorded order, and its answer looks as the recorded
one (`tests.fakes.ollama_replay`).
"""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.fakes.ollama import FakeOllama, Model
from tests.fakes.ollama_replay import Answer, Exchange, exchanges, send

WORDS = [" The", " sky", " is", " blue", " and", " the", " sea", " is", " green"] * 6
SMOL = partial(Model, weights="941f309b54ca", parent="smollm2:135m")
MODELS = (
    SMOL("smollm2:135m", parent=""),
    SMOL("smollm2", num_ctx=1024, system="You are terse.", license="Test licence"),
    SMOL("smol-tools", ("completion", "tools"), calls=False),
    SMOL("smol-jtools", ("completion", "tools")),
    SMOL("smol-think", ("completion", "thinking")),
    SMOL("smol-insert", ("completion", "insert")),
    Model("gemma3:270m", family="gemma3", weights="a5fd3b62230a"),
    Model("tiny-bert", ("embedding",), family="bert", context=128, embedding=64),
)
PULLED = Model("127.0.0.1:5055/library/pulled")

NEW, OLD = "v0.32.15", "v0.24.0"
FOLDERS: dict[str, Callable[..., FakeOllama]] = {
    f"{NEW}/01-basic": partial(FakeOllama, models=()),
    **{
        f"{NEW}/{name}": partial(FakeOllama, models=MODELS, registry=None)
        for name in (
            *("02-models", "03-chat", "04-generate", "05-embed", "06-ps", "07-openai"),
            "09-behaviour",
        )
    },
    f"{NEW}/10-pull": partial(FakeOllama, models=(), registry=[PULLED]),
    f"{OLD}/01-basic": partial(FakeOllama, models=(), version="0.24.0"),
    **{
        f"{OLD}/{name}": partial(FakeOllama, models=MODELS, version="0.24.0")
        for name in ("02-models", "05-embed", "06-ps")
    },
}
FILES = "it makes no models from files"
ENDED = "the model came to an end by itself"
NOT_PLAYED = {
    **{
        f"{NEW}/02-models/create-{name}": FILES
        for name in (
            "from-gguf-stream",
            "from-gguf-nostream",
            "embedding-model",
            "existing-again",
            "unknown-digest",
            "bad-digest",
            "bad-quantize",
        )
    },
    f"{NEW}/02-models/push-unknown": "nobody pushes",
    f"{NEW}/02-models/push-nostream": "nobody pushes",
    f"{NEW}/04-generate/raw": ENDED,
    f"{NEW}/04-generate/raw-stream": ENDED,
    f"{NEW}/09-behaviour/ctx-many-messages": ENDED,
    f"{NEW}/07-openai/audio-transcriptions": "it hears nothing",
}
"""What the fake does not claim."""


class Clock:
    """The time of the recording."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1_234_567
        return self.now

    def reach(self, second: int) -> None:
        self.now = max(self.now, second * 10**9)


def play(asked: list[Exchange], fake: Callable[..., FakeOllama]) -> Iterator[tuple[str, Answer]]:
    clock = Clock()
    with fake(tokens=WORDS, thinking=WORDS, clock=clock) as node:
        for one in asked:
            clock.reach(one.at)
            if one.before:
                method, path, body, status = one.before
                first = Exchange(
                    "", "", method, path, "HTTP/1.1", [], body, one.answer, None, False
                )
                assert send(node.url, first).status == status
            yield one.name, send(node.url, one)


ASKED = {f"{folder}/{one.name}": one for folder in FOLDERS for one in exchanges(folder)}


@pytest.fixture(scope="module")
def answers() -> dict[str, Answer]:
    """All of them, by the name of the exchange."""
    return {
        f"{folder}/{name}": answer
        for folder, fake in FOLDERS.items()
        for name, answer in play(exchanges(folder), fake)
    }


@pytest.mark.parametrize("name", sorted(ASKED.keys() - NOT_PLAYED.keys()))
def test_the_fake_answers_as_the_real_one(name: str, answers: dict[str, Answer]) -> None:
    body = not ASKED[name].cut

    assert answers[name].looks(body=body) == ASKED[name].answer.looks(body=body)


@pytest.mark.parametrize("name", sorted(NOT_PLAYED))
def test_what_is_not_claimed_is_indeed_not_the_same(name: str, answers: dict[str, Answer]) -> None:
    """So that the table only shrinks."""
    assert answers[name].looks() != ASKED[name].answer.looks(), NOT_PLAYED[name]
