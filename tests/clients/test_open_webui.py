"""The calls that Open WebUI makes, with its headers and its way to read the answers.

Source: its routers/ollama.py and routers/openai.py. With user information forwarded, as a
household with several people has it.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.clients.stage import SAID, Stage

pytestmark = pytest.mark.system

WHO = {
    "Content-Type": "application/json",
    "X-OpenWebUI-User-Name": "Ada%20L",
    "X-OpenWebUI-User-Id": "0b4e1c",
    "X-OpenWebUI-User-Email": "ada@example.org",
    "X-OpenWebUI-User-Role": "admin",
}
CHAT_ID = {"X-OpenWebUI-Chat-Id": "9e2d6a70-11aa-4b7e-8e5a-0f3f6b6f5c11"}
MODELS = ["ollama-chat:1b", "openai-chat:1b", "llama-chat:latest", "smollm2:135m"]
"""It adds `:latest` to a name that has no tag."""
WORDS = {"llama-chat:latest": SAID, "ollama-chat:1b": SAID, "openai-chat:1b": SAID}


@pytest.fixture
def webui(stage: Stage) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stage.url, headers=WHO, timeout=60, trust_env=False) as client:
        yield client


def told(answer: httpx.Response) -> Any:
    """Its HTTP library reads JSON only where the head says so."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json()


def test_it_accepts_the_connection_by_the_version(webui: httpx.Client) -> None:
    version = told(webui.get("/api/version"))["version"]

    assert tuple(map(int, re.sub(r"^v|-.*", "", version).split(".")))


def test_it_lists_the_models_and_when_they_are_unloaded(webui: httpx.Client) -> None:
    webui.post("/api/generate", json={"model": "ollama-chat:1b"})
    models = {model["model"]: model for model in told(webui.get("/api/tags"))["models"]}
    loaded = told(webui.get("/api/ps"))["models"]

    assert {"ollama-chat:1b", "openai-chat:1b", "smollm2:135m"} <= set(models)
    assert all(isinstance(model["size"], int) for model in models.values())
    assert all(model["details"] is not None and model["name"] for model in models.values())
    assert loaded
    assert all(datetime.fromisoformat(model["expires_at"]) for model in loaded)


@pytest.mark.parametrize("model", MODELS)
def test_it_shows_a_model(webui: httpx.Client, model: str) -> None:
    shown = told(webui.post("/api/show", json={"model": model, "name": model}))

    assert {"details", "model_info", "capabilities"} <= set(shown)


@pytest.mark.parametrize("model", MODELS)
def test_it_chats_in_ollamas_words(webui: httpx.Client, model: str) -> None:
    body = {
        "model": model,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Name a colour."},
        ],
        "options": {"temperature": 0.8, "num_predict": 16, "mirostat": 0},
        "stream": True,
        "keep_alive": "5m",
        "features": {"web_search": False},
        "session_id": "x",
        "background_tasks": {"title_generation": True},
    }
    answer = webui.post("/api/chat", content=json.dumps(body), headers=CHAT_ID)
    lines = [json.loads(line) for line in answer.text.split("\n") if line]
    text = "".join(line["message"]["content"] for line in lines)

    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert text == WORDS.get(model, text) != ""
    assert lines[-1]["done"] is True
    assert lines[-1]["eval_count"] > 0
    assert lines[-1]["eval_duration"] > 0


def test_it_unloads_a_model(webui: httpx.Client) -> None:
    body = {"model": "ollama-think:1b", "keep_alive": 0, "prompt": ""}
    webui.post("/api/generate", json={"model": "ollama-think:1b"})
    answer = told(webui.post("/api/generate", content=json.dumps(body)))
    running = {model["model"] for model in told(webui.get("/api/ps"))["models"]}

    assert (answer["done"], answer["done_reason"]) == (True, "unload")
    assert "ollama-think:1b" not in running


def test_it_hears_why_a_server_cannot_unload(webui: httpx.Client) -> None:
    body = {"model": "llama-chat", "keep_alive": 0, "prompt": ""}
    answer = webui.post("/api/generate", content=json.dumps(body))

    assert answer.status_code == 409
    assert "cannot unload" in answer.json()["error"]


def test_it_embeds_documents(webui: httpx.Client) -> None:
    body = {"model": "ollama-embed:1b", "input": ["one text", "another"], "truncate": True}
    old = {"model": "ollama-embed:1b", "prompt": "one text"}

    assert [len(one) for one in told(webui.post("/api/embed", json=body))["embeddings"]] == [64, 64]
    assert len(told(webui.post("/api/embeddings", json=old))["embedding"]) == 64


def test_it_pulls_a_model_that_is_there(webui: httpx.Client) -> None:
    body = {"name": "ollama-chat:1b", "model": "ollama-chat:1b", "insecure": True}
    answer = webui.post("/api/pull", content=json.dumps(body))
    last = json.loads(answer.text.strip().split("\n")[-1])

    assert answer.status_code == 200
    assert last == {"status": "success"}


def test_what_the_router_keeps_to_itself_is_told_in_words_it_shows(webui: httpx.Client) -> None:
    body = json.dumps({"model": "ollama-chat:1b"})
    answer = webui.request("DELETE", "/api/delete", content=body)

    assert answer.status_code == 403
    assert "node" in answer.json()["error"]


def test_it_lists_models_in_openais_words(webui: httpx.Client) -> None:
    listed = told(webui.get("/v1/models", headers={"Authorization": "Bearer none"}))

    assert listed["object"] == "list"
    assert {"ollama-chat:1b", "llama-chat"} <= {model["id"] for model in listed["data"]}


@pytest.mark.parametrize("model", ["ollama-chat:1b", "llama-chat", "smollm2:135m"])
def test_it_chats_in_openais_words(webui: httpx.Client, model: str) -> None:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Name a colour."}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 16,
        "metadata": {"chat_id": CHAT_ID["X-OpenWebUI-Chat-Id"], "task": None, "features": {}},
    }
    headers = {**CHAT_ID, "Authorization": "Bearer none", "HTTP-Referer": "https://openwebui.com/"}
    answer = webui.post("/v1/chat/completions", content=json.dumps(body), headers=headers)
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n") if line]
    chunks = [json.loads(line) for line in lines[:-1]]
    said = "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert lines[-1] == "[DONE]"
    assert said
    assert chunks[-1]["usage"]["completion_tokens"] > 0


def test_it_asks_for_a_title_in_one_piece(webui: httpx.Client) -> None:
    body = {
        "model": "ollama-chat:1b",
        "messages": [{"role": "user", "content": "Write a title."}],
        "stream": False,
        "max_completion_tokens": 1000,
        "metadata": {"task": "title_generation", "task_body": {"model": "ollama-chat:1b"}},
    }
    said = told(webui.post("/v1/chat/completions", content=json.dumps(body)))

    assert said["choices"][0]["message"]["content"] == SAID


def test_an_unknown_model_is_told_where_it_looks(webui: httpx.Client) -> None:
    messages = [{"role": "user", "content": "hi"}]
    ollama = webui.post("/api/chat", json={"model": "nope:latest", "messages": messages})
    openai = webui.post("/v1/chat/completions", json={"model": "nope", "messages": messages})

    assert ollama.status_code == openai.status_code == 404
    assert isinstance(ollama.json()["error"], str)
    assert openai.json()["error"]["message"]


def test_who_asked_does_not_reach_the_node(webui: httpx.Client, stage: Stage) -> None:
    body = {"model": "ollama-chat:1b", "messages": [{"role": "user", "content": "who am I?"}]}
    secret = {"Authorization": "Bearer of-mine", "Cookie": "token=x"}
    webui.post("/api/chat", json=body, headers={**CHAT_ID, **secret})
    node = stage.targets["an Ollama node"].node
    assert node is not None
    seen = next(one for one in node.chats if b"who am I?" in one.body)

    forwarded = [name for name in seen.headers if name.startswith(("x-openwebui", "x-forwarded"))]
    assert forwarded == []
    assert not {"authorization", "cookie"} & set(seen.headers)
