"""What README shows works as it stands. That it names everything: tests/contract."""

import json
import re
import shlex
from pathlib import Path

import dpl_exporter
from tests.exporter.process import running

README = (Path(dpl_exporter.__file__).parents[1] / "README.md").read_text()


def test_the_lease_examples_work_as_they_stand(tmp_path: Path) -> None:
    """Each curl line as the body of a call; the token is the one that was granted."""
    lines = [line for line in README.splitlines() if re.match(r"curl .*/(un)?lock", line)]
    token = ""
    with running(tmp_path, "--llm-url", "http://127.0.0.1:9") as exporter:
        for line in lines:
            words = shlex.split(line)
            path = next(word for word in words if word.startswith("http")).partition(":8001")[2]
            body = words[words.index("-d") + 1] if "-d" in words else ""
            body = re.sub(r'"token": \d+', f'"token": {token}', body)
            answer = exporter.call("POST", path, body.encode())
            assert answer.status == 200, (line, answer.body)
            token = str(json.loads(answer.body).get("token", token))

    assert len(lines) == 5
