"""What all client scripts share: where they call, what they ask, and how they tell what came.

    python -m tests.clients.scripts.openai_sdk

CLIENT_CALLS in the environment is {"client": name, "targets": [the fields of Target and the names
of the features to try]}. Printed is {target: {feature: what came, or {"failed": why}}}. A script
runs in the client's own environment: nothing of ours but this folder is there.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
"""One pixel."""
DATA_URL = f"data:image/png;base64,{PNG}"
MOST = 16
"""Tokens of an answer: the real model is slow."""
ROOMY = 64
"""Tokens of a JSON object."""
STOP = " the"
SEED = 7
NOWHERE = "no-such-model"


class Light(BaseModel):
    """What a structured answer looks like; a model that is held to it answers in a few tokens."""

    colour: str = Field(json_schema_extra={"enum": ["red", "blue"]})
    ready: bool


class Weather(BaseModel):
    """Tell the weather of a city."""

    city: str


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@dataclass(frozen=True)
class Target:
    """A server, and the models there by what they can do; "" where there is none."""

    who: str
    """The client, and where it calls."""
    url: str
    chat: str = ""
    think: str = ""
    embed: str = ""
    slow: str = ""
    """It says 200 tokens in ten seconds."""

    def question(self, feature: str) -> str:
        """It names who asks, so that a test finds the call at the node."""
        return f"{self.who} {feature}: name a colour."

    def messages(self, feature: str) -> list[dict[str, Any]]:
        return [{"role": "user", "content": self.question(feature)}]


Feature = Callable[[Target], object]


def run(features: Mapping[str, Feature]) -> None:
    calls = json.loads(os.environ["CLIENT_CALLS"])
    said = {}
    for name, asked in calls["targets"].items():
        target = Target(f"{calls['client']} at {name}", **asked["target"])
        said[name] = {feature: outcome(features[feature], target) for feature in asked["features"]}
    print(json.dumps(said))


def outcome(feature: Feature, target: Target) -> object:
    try:
        return feature(target)
    except Exception as error:  # noqa: BLE001 - whatever a client raises is what we report
        return {"failed": f"{type(error).__name__}: {error}"}


def answer(text: str | None, finish: object, prompt: object, completion: object) -> object:
    """A whole answer; `prompt` and `completion` are tokens."""
    return {"text": text, "finish": finish, "usage": [prompt, completion]}


def refused(call: Callable[[], object]) -> object:
    """How the client tells that a call was refused."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - which class it is, is the answer
        return {"error": type(error).__name__, "message": str(error)}
    return {"failed": "it was answered"}


def vectors(found: Iterable[Sequence[float]]) -> object:
    """Of two texts."""
    first, second = (list(one) for one in found)
    return {"sizes": [len(first), len(second)], "differ": first != second}
