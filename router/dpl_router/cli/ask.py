"""`dpl ask MODEL "…"`: the answer on stdout as it comes, node and speed on stderr."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import rich_click as click

from dpl_router.cli import client

PATIENCE = 180.0
"""Seconds of silence: a model may load for minutes, and the router has time-outs of its own."""


@dataclass(slots=True)
class Course:
    """What was seen of one answer; times on the monotonic clock, in seconds."""

    asked: float
    first: float | None = None
    last: float = 0.0
    tokens: int | None = None
    whole: bool = False


@click.command()
@click.argument("model")
@click.argument("question")
@click.option(
    "--max-tokens", type=click.IntRange(1, 1_000_000), help="The longest answer; else no limit."
)
@client.router_option
def ask(model: str, question: str, max_tokens: int | None, url: str) -> None:
    """Ask MODEL one QUESTION; `auto` takes what is loaded."""
    asked: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if max_tokens is not None:
        asked["max_tokens"] = max_tokens
    body = json.dumps(asked).encode()
    connection = client.connect(url, PATIENCE)
    course = Course(asked=time.monotonic())
    try:
        answer = client.ask(connection, url, "POST", "/v1/chat/completions", body)
        for text in pieces(client.events(answer, url), course):
            click.echo(client.printable(text), nl=False)
        click.echo()
    finally:
        connection.close()
    if not course.whole:
        raise client.CallFailed("the answer broke off before its end; ask again")
    node = answer.getheader("x-dpl-node") or "unknown"
    click.echo(summary(node, course), err=True)


def pieces(events: Iterator[str], course: Course) -> Iterator[str]:
    """The text of each event; the course is kept on the way."""
    for event in events:
        if event == "[DONE]":
            course.whole = True
            return
        chunk = read_chunk(event)
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            course.tokens = usage.get("completion_tokens")
        for text in texts(chunk):
            course.last = time.monotonic()
            course.first = course.first or course.last
            yield text


def read_chunk(event: str) -> dict[str, Any]:
    """Raises: CallFailed where the router ends the answer with an error, or says no JSON."""
    try:
        chunk = json.loads(event)
    except ValueError as error:
        raise client.CallFailed("the router sent an event that is no JSON") from error
    if not isinstance(chunk, dict):
        raise client.CallFailed("the router sent an event that is no object")
    if "error" in chunk:
        said = client.message_of(event.encode()) or "no reason given"
        raise client.CallFailed(f"the answer broke off: {said.rstrip('.')}; ask again")
    return chunk


def texts(chunk: dict[str, Any]) -> Iterator[str]:
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        text = delta.get("content") if isinstance(delta, dict) else None
        if isinstance(text, str) and text:
            yield text


def summary(node: str, course: Course) -> str:
    """`node gpu-1, 112.3 tok/s, first token 0.08 s`; what is not known is left out."""
    said = [f"node {node}"]
    if course.first is not None:
        seconds = course.last - course.first
        if course.tokens is not None and course.tokens > 1 and seconds > 0:
            said.append(f"{(course.tokens - 1) / seconds:.1f} tok/s")
        said.append(f"first token {course.first - course.asked:.2f} s")
    return ", ".join(said)
