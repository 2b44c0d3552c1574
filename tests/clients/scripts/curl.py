"""curl in both protocols: `python -m tests.clients.scripts.curl openai|ollama`.

One command a call, as a person types it; what is read is what stands on the terminal.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from tests.clients.scripts.reporting import (
    DATA_URL,
    MOST,
    NOWHERE,
    PNG,
    ROOMY,
    SEED,
    STOP,
    WEATHER,
    Light,
    Target,
    answer,
    run,
    vectors,
)


def curl(target: Target, path: str, body: object | None = None, *flags: str) -> str:
    command = ["curl", "-sS", "-N", "-m", "60", *flags, target.url + path]
    if body is not None:
        command += ["-d", json.dumps(body)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode in (0, 22), done.stderr
    return done.stdout


def posted(target: Target, path: str, body: object) -> Any:
    return json.loads(curl(target, path, body))


def data(events: str) -> list[Any]:
    """Of the events of a stream that ended well."""
    lines = [line.removeprefix("data: ") for line in events.split("\n") if line]
    assert lines[-1] == "[DONE]", events
    return [json.loads(line) for line in lines[:-1] if not line.startswith(":")]


def objects(lines: str) -> list[Any]:
    found = [json.loads(line) for line in lines.split("\n") if line]
    assert found[-1]["done"] is True, lines
    return found


def status(target: Target, path: str, body: object) -> object:
    """With `-f` curl tells a refusal by its exit code; here the status line is read."""
    said = curl(target, path, body, "-w", "\n%{http_code}")
    message, _, code = said.rpartition("\n")
    return {"error": code, "message": message}


def cut_off(target: Target, path: str, body: object) -> object:
    """The person presses Ctrl-C after the first line."""
    command = ["curl", "-sS", "-N", target.url + path, "-d", json.dumps(body)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.terminate()
        process.wait(10)
    return {"first": first}


class OpenAi:
    """Typed against /v1."""

    path = "/v1/chat/completions"

    def body(self, target: Target, feature: str, **fields: Any) -> dict[str, Any]:
        asked = {"model": target.chat, "messages": target.messages(feature), "max_tokens": MOST}
        return {**asked, **fields}

    def create(self, target: Target, feature: str, **fields: Any) -> Any:
        return posted(target, self.path, self.body(target, feature, **fields))

    def events(self, target: Target, feature: str, **fields: Any) -> list[Any]:
        return data(curl(target, self.path, self.body(target, feature, stream=True, **fields)))

    def chat(self, target: Target) -> object:
        said = self.create(target, "chat")
        usage, choice = said["usage"], said["choices"][0]
        return answer(
            choice["message"]["content"],
            choice["finish_reason"],
            usage["prompt_tokens"],
            usage["completion_tokens"],
        )

    def stream(self, target: Target) -> object:
        deltas = [one["choices"][0]["delta"] for one in self.events(target, "stream")]
        assert deltas[0]["role"] == "assistant"
        return {"pieces": [delta["content"] for delta in deltas if delta.get("content")]}

    def usage(self, target: Target) -> object:
        told = self.events(target, "usage", stream_options={"include_usage": True})[-1]
        assert told["choices"] == []
        return {"usage": [told["usage"]["prompt_tokens"], told["usage"]["completion_tokens"]]}

    def completion(self, target: Target) -> object:
        asked = {"model": target.chat, "prompt": target.question("completion")}
        said = posted(target, "/v1/completions", {**asked, "max_tokens": MOST})
        usage, choice = said["usage"], said["choices"][0]
        return answer(
            choice["text"],
            choice["finish_reason"],
            usage["prompt_tokens"],
            usage["completion_tokens"],
        )

    def options(self, target: Target) -> object:
        stopped = self.create(target, "options", stop=STOP, seed=SEED)["choices"][0]
        cut = self.create(target, "options", max_tokens=2, seed=SEED)["choices"][0]
        return {
            "stopped": stopped["message"]["content"],
            "cut": cut["message"]["content"],
            "finish": cut["finish_reason"],
        }

    def tools(self, target: Target) -> object:
        said = self.create(target, "tools", tools=[WEATHER])["choices"][0]["message"]
        call = said["tool_calls"][0]
        result = {"role": "tool", "tool_call_id": call["id"], "content": "rain"}
        turn = [*target.messages("tools"), said, result]
        after = self.create(target, "tools", messages=turn)["choices"][0]["message"]["content"]
        return {**call["function"], "after": after}

    def tool_stream(self, target: Target) -> object:
        deltas = [
            call["function"]
            for one in self.events(target, "tool_stream", tools=[WEATHER])
            for call in one["choices"][0]["delta"].get("tool_calls") or ()
        ]
        arguments = "".join(delta.get("arguments") or "" for delta in deltas)
        return {"name": deltas[0]["name"], "arguments": arguments}

    def schema(self, target: Target) -> object:
        wanted = {"name": "light", "schema": Light.model_json_schema(), "strict": True}
        form = {"type": "json_schema", "json_schema": wanted}
        said = self.create(target, "schema", response_format=form, max_tokens=ROOMY)["choices"][0][
            "message"
        ]
        return {"parsed": Light.model_validate_json(said["content"]).model_dump()}

    def image(self, target: Target) -> object:
        parts = [
            {"type": "text", "text": target.question("image")},
            {"type": "image_url", "image_url": {"url": DATA_URL}},
        ]
        said = self.create(target, "image", messages=[{"role": "user", "content": parts}])
        return {"text": said["choices"][0]["message"]["content"]}

    def thinking(self, target: Target) -> object:
        said = self.create(target, "thinking", model=target.think)["choices"][0]["message"]
        thought = said.get("reasoning_content") or said.get("reasoning")
        return {"thinking": thought, "text": said["content"]}

    def embeddings(self, target: Target) -> object:
        asked = {"model": target.embed, "input": ["red", "a blue light"]}
        said = posted(target, "/v1/embeddings", asked)
        return vectors(one["embedding"] for one in said["data"])

    def models(self, target: Target) -> object:
        return {"models": [one["id"] for one in json.loads(curl(target, "/v1/models"))["data"]]}

    def unknown(self, target: Target) -> object:
        return status(target, self.path, self.body(target, "unknown", model=NOWHERE))

    def hang_up(self, target: Target) -> object:
        return cut_off(
            target, self.path, {**self.body(target, "hang_up", stream=True), **slow(target)}
        )


def slow(target: Target) -> dict[str, Any]:
    return {"model": target.slow, "max_tokens": 1000}


class Ollama:
    """Typed against /api."""

    path = "/api/chat"

    def body(self, target: Target, feature: str, **fields: Any) -> dict[str, Any]:
        asked = {"model": target.chat, "messages": target.messages(feature)}
        return {**asked, "options": {"num_predict": MOST}, **fields}

    def create(self, target: Target, feature: str, **fields: Any) -> Any:
        return posted(target, self.path, self.body(target, feature, stream=False, **fields))

    def lines(self, target: Target, feature: str, **fields: Any) -> Sequence[Any]:
        """It streams unless it is told not to."""
        return objects(curl(target, self.path, self.body(target, feature, **fields)))

    def chat(self, target: Target) -> object:
        said = self.create(target, "chat")
        text = said["message"]["content"]
        return answer(text, said["done_reason"], said["prompt_eval_count"], said["eval_count"])

    def stream(self, target: Target) -> object:
        pieces = [one["message"]["content"] for one in self.lines(target, "stream")]
        return {"pieces": [piece for piece in pieces if piece]}

    def usage(self, target: Target) -> object:
        last = self.lines(target, "usage")[-1]
        return {"usage": [last["prompt_eval_count"], last["eval_count"]]}

    def completion(self, target: Target) -> object:
        asked = {"model": target.chat, "prompt": target.question("completion"), "stream": False}
        said = posted(target, "/api/generate", {**asked, "options": {"num_predict": MOST}})
        told = said["done_reason"], said["prompt_eval_count"], said["eval_count"]
        return answer(said["response"], *told)

    def options(self, target: Target) -> object:
        held = {"seed": SEED, "num_predict": MOST}
        stopped = self.create(target, "options", options={**held, "stop": [STOP]})
        cut = self.create(target, "options", options={**held, "num_predict": 2})
        return {
            "stopped": stopped["message"]["content"],
            "cut": cut["message"]["content"],
            "finish": cut["done_reason"],
        }

    def tools(self, target: Target) -> object:
        said = self.create(target, "tools", tools=[WEATHER])["message"]
        call = said["tool_calls"][0]["function"]
        result = {"role": "tool", "tool_name": call["name"], "content": "rain"}
        after = self.create(target, "tools", messages=[*target.messages("tools"), said, result])
        return {**call, "after": after["message"]["content"]}

    def tool_stream(self, target: Target) -> object:
        calls = [
            call["function"]
            for one in self.lines(target, "tool_stream", tools=[WEATHER])
            for call in one["message"].get("tool_calls") or ()
        ]
        return {"name": calls[0]["name"], "arguments": calls[0]["arguments"]}

    def schema(self, target: Target) -> object:
        said = self.create(
            target, "schema", format=Light.model_json_schema(), options={"num_predict": ROOMY}
        )["message"]
        return {"parsed": Light.model_validate_json(said["content"]).model_dump()}

    def image(self, target: Target) -> object:
        message = {"role": "user", "content": target.question("image"), "images": [PNG]}
        return {"text": self.create(target, "image", messages=[message])["message"]["content"]}

    def thinking(self, target: Target) -> object:
        said = self.create(target, "thinking", model=target.think, think=True)["message"]
        return {"thinking": said["thinking"], "text": said["content"]}

    def embeddings(self, target: Target) -> object:
        asked = {"model": target.embed, "input": ["red", "a blue light"]}
        return vectors(posted(target, "/api/embed", asked)["embeddings"])

    def models(self, target: Target) -> object:
        return {"models": [one["name"] for one in json.loads(curl(target, "/api/tags"))["models"]]}

    def unknown(self, target: Target) -> object:
        return status(target, self.path, self.body(target, "unknown", model=NOWHERE))

    def hang_up(self, target: Target) -> object:
        body = self.body(target, "hang_up", model=target.slow, options={})
        return cut_off(target, self.path, body)


FEATURES = (
    "chat",
    "stream",
    "usage",
    "completion",
    "options",
    "tools",
    "tool_stream",
    "schema",
    "image",
    "thinking",
    "embeddings",
    "models",
    "unknown",
    "hang_up",
)

if __name__ == "__main__":
    typed: object = {"openai": OpenAi(), "ollama": Ollama()}[sys.argv[1]]
    run({feature: getattr(typed, feature) for feature in FEATURES})
