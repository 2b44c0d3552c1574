"""The command `llm`, with our models in its extra-openai-models.yaml.

The commands run in this one process: each start of it would take a second.
"""

import ast
import base64
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from subprocess import PIPE

import llm.cli  # type: ignore[import-not-found] # in its own environment
import yaml
from click.testing import CliRunner

from tests.clients.scripts.reporting import (
    MOST,
    NOWHERE,
    PNG,
    ROOMY,
    SEED,
    STOP,
    Light,
    Target,
    run,
)

TOOL = 'def weather(city: str) -> str:\n    "Tell the weather of a city."\n    return "rain"\n'


TEXT = "as-text"
"""How a person calls the model when it is asked to go on with a text."""
LIMIT = ("-o", "max_tokens", str(MOST))


class Llm:
    """What a person's commands say; `folder` is where `llm` keeps its things."""

    def __init__(self, folder: Path) -> None:
        self._models = folder / "extra-openai-models.yaml"
        self._pixel = folder / "pixel.png"
        self._pixel.write_bytes(base64.b64decode(PNG))

    def _know(self, target: Target) -> None:
        """What a user writes once: each name, and what it can do."""
        entries = [
            {
                "model_id": name,
                "model_name": name,
                "api_base": f"{target.url}/v1",
                "supports_schema": True,
                "supports_tools": True,
                "vision": True,
            }
            for name in (target.chat, target.slow, NOWHERE)
            if name
        ]
        text = {"model_id": TEXT, "model_name": target.chat, "api_base": f"{target.url}/v1"}
        entries.append({**text, "completion": True})
        self._models.write_text(yaml.safe_dump(entries), encoding="utf-8")

    def call(
        self, target: Target, feature: str, *options: str, model: str = ""
    ) -> tuple[str, str, int]:
        """(stdout, stderr, exit code) of `llm prompt`."""
        self._know(target)
        command = ["prompt", "-n", "-m", model or target.chat, *options]
        said = CliRunner().invoke(llm.cli.cli, [*command, target.question(feature)])
        return said.stdout.removesuffix("\n"), said.stderr, said.exit_code

    def ask(self, target: Target, feature: str, *options: str, model: str = "") -> tuple[str, str]:
        """(stdout, stderr)."""
        stdout, stderr, code = self.call(target, feature, *options, model=model)
        assert code == 0, stderr
        return stdout, stderr

    def chat(self, target: Target) -> object:
        stdout, stderr = self.ask(target, "chat", "--no-stream", "-u", *LIMIT)
        return {"text": stdout, "usage": counted(stderr)}

    def stream(self, target: Target) -> object:
        return {"text": self.ask(target, "stream", *LIMIT)[0]}

    def usage(self, target: Target) -> object:
        return {"usage": counted(self.ask(target, "usage", "-u", *LIMIT)[1])}

    def completion(self, target: Target) -> object:
        return {"text": self.ask(target, "completion", *LIMIT, model=TEXT)[0]}

    def options(self, target: Target) -> object:
        held = ("-o", "seed", str(SEED))
        return {
            "stopped": self.ask(target, "options", *held, *LIMIT, "-o", "stop", STOP)[0],
            "cut": self.ask(target, "options", *held, "-o", "max_tokens", "2")[0],
        }

    def tools(self, target: Target) -> object:
        """It runs the function and asks again with what that said."""
        stdout, stderr = self.ask(target, "tools", "--no-stream", "--functions", TOOL, "--td")
        return {**called(stderr), "after": stdout}

    def tool_stream(self, target: Target) -> object:
        return called(self.ask(target, "tool_stream", "--functions", TOOL, "--td")[1])

    def schema(self, target: Target) -> object:
        wanted = json.dumps(Light.model_json_schema())
        limit = ("-o", "max_tokens", str(ROOMY))
        return {"parsed": json.loads(self.ask(target, "schema", "--schema", wanted, *limit)[0])}

    def image(self, target: Target) -> object:
        return {"text": self.ask(target, "image", "-a", str(self._pixel))[0]}

    def hang_up(self, target: Target) -> object:
        """A person presses Ctrl-C after the first words; a command of its own, for once."""
        self._know(target)
        command = [sys.executable, "-m", "llm", "-n", "-m", target.slow]
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # what runs in the background ignores it
        with subprocess.Popen([*command, target.question("hang_up")], stdout=PIPE) as process:
            assert process.stdout is not None
            first = process.stdout.read(1)
            process.send_signal(signal.SIGINT)
            process.wait(10)
        return {"first": first.decode()}

    def unknown(self, target: Target) -> object:
        _, stderr, code = self.call(target, "unknown", model=NOWHERE)
        return {"error": f"exit {code}", "message": stderr}


def counted(stderr: str) -> list[int]:
    """Of a line as `Token usage: 12 input, 5 output`."""
    words = stderr.partition("Token usage:")[2].replace(",", "").split()
    return [int(words[0]), int(words[2])]


def called(stderr: str) -> dict[str, object]:
    """Of a line as `Tool call: weather({'city': 'Paris'})`."""
    found = re.search(r"^Tool call: (\w+)\((.*)\)$", stderr, re.MULTILINE)
    assert found, stderr
    return {"name": found[1], "arguments": ast.literal_eval(found[2])}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        os.environ["LLM_USER_PATH"] = name
        person = Llm(Path(name))
        run(
            {
                "chat": person.chat,
                "stream": person.stream,
                "usage": person.usage,
                "completion": person.completion,
                "options": person.options,
                "tools": person.tools,
                "tool_stream": person.tool_stream,
                "schema": person.schema,
                "image": person.image,
                "hang_up": person.hang_up,
                "unknown": person.unknown,
            }
        )
