"""What must come of each feature, whichever client asked and whichever node answered."""

import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.clients.clients import Client
from tests.clients.scripts.reporting import NOWHERE, PNG, SEED, STOP
from tests.clients.stage import CUT, SAID, STOPPED, THOUGHT, Target
from tests.fakes.faults import Seen
from tests.system.running import eventually

ENDS = ("stop", "end_turn", "completed")
CUTS = ("length", "max_tokens")
WORDS = 5
"""Tokens of what a fake says."""


@dataclass(frozen=True)
class Cell:
    """One feature of one client at one target, and what came."""

    client: Client
    feature: str
    at: str
    target: Target
    came: Any

    def calls(self) -> list[Seen]:
        """The calls at the node that this client made for this feature."""
        marker = f"{self.client.name} at {self.at} {self.feature}:".encode()
        node = self.target.slow if self.feature == "hang_up" else self.target.node
        return [seen for seen in node.chats if marker in seen.body] if node else []


def wrong(client: Client, feature: str, at: str, target: Target, came: Any) -> str:
    """ "" where it is right, else what is not."""
    if "failed" in came:
        return str(came["failed"])
    cell = Cell(client, feature, at, target, came)
    try:
        CHECKS[feature](cell)
    except AssertionError as error:
        broken = traceback.extract_tb(error.__traceback__)[-1].line
        return f"{broken} {error}; came: {came}"
    return ""


def check_text(cell: Cell) -> None:
    text = cell.came["text"]
    assert text.strip() if cell.target.real else text.strip() == SAID


def check_answer(cell: Cell) -> None:
    check_text(cell)
    finish = cell.came.get("finish", "stop")
    assert finish in (*ENDS, *CUTS, "incomplete") if cell.target.real else finish in ENDS
    if "usage" in cell.came:
        check_usage(cell)


def check_completion(cell: Cell) -> None:
    """A real model may see nothing to add to a text."""
    if not (cell.target.real and cell.came["text"] == ""):
        check_answer(cell)


def check_stream(cell: Cell) -> None:
    if "pieces" not in cell.came:
        check_text(cell)
        return
    pieces = cell.came["pieces"]
    assert len(pieces) > 1
    assert cell.target.real or "".join(pieces) == SAID


def check_usage(cell: Cell) -> None:
    prompt, completion = cell.came["usage"]
    assert prompt > 0
    assert 0 < completion <= 64 if cell.target.real else completion == WORDS


def check_options(cell: Cell) -> None:
    """The text says it, and where a node takes no notice, what the node was asked."""
    came = cell.came
    if not cell.target.real:
        assert came["cut"] == CUT
    if not cell.target.real and cell.target.keeps_options and "stopped" in came:
        assert came["stopped"].strip() == STOPPED
    assert came.get("finish", "length") in CUTS
    asked = [seen.json for seen in cell.calls()]
    if asked and cell.client.protocol in ("openai", "ollama"):
        assert all(SEED in (one.get("seed"), options(one).get("seed")) for one in asked)
        stops = [one.get("stop") or options(one).get("stop") for one in asked]
        assert any(stop in (STOP, [STOP]) for stop in stops)


def options(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body.get("options") or {}
    return found


def check_tools(cell: Cell) -> None:
    came, arguments = cell.came, cell.came["arguments"]
    arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    assert came["name"] == "weather"
    assert arguments == {"city": "Paris"}
    assert came.get("after", SAID) == SAID


def check_schema(cell: Cell) -> None:
    parsed = cell.came["parsed"]
    assert set(parsed) == {"colour", "ready"}
    assert parsed["colour"] in ("red", "blue")
    assert isinstance(parsed["ready"], bool)


def check_image(cell: Cell) -> None:
    check_text(cell)
    assert any(PNG in seen.body.decode() for seen in cell.calls()), "the node saw no image"


def check_thinking(cell: Cell) -> None:
    check_text(cell)
    assert cell.came["thinking"] == THOUGHT


def check_vectors(cell: Cell) -> None:
    assert cell.came["sizes"] == [64, 64]
    assert cell.came["differ"]


def check_models(cell: Cell) -> None:
    assert cell.target.models["chat"] in cell.came["models"]


def check_unknown(cell: Cell) -> None:
    assert cell.came["error"] == cell.client.not_found
    assert NOWHERE in cell.came["message"]


def check_hang_up(cell: Cell) -> None:
    """The node would have talked for ten seconds."""
    slow = cell.target.slow
    assert slow is not None
    assert cell.calls()
    eventually(lambda: slow.open == 0, 5)
    assert slow.finished == []
    assert slow.hang_ups


CHECKS: dict[str, Callable[[Cell], None]] = {
    "chat": check_answer,
    "completion": check_completion,
    "stream": check_stream,
    "usage": check_usage,
    "options": check_options,
    "tools": check_tools,
    "tool_stream": check_tools,
    "schema": check_schema,
    "image": check_image,
    "thinking": check_thinking,
    "embeddings": check_vectors,
    "models": check_models,
    "unknown": check_unknown,
    "hang_up": check_hang_up,
}
