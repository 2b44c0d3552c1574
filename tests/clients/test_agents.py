"""The calls that coding agents make, as they make them: headers, queries, bodies."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.clients.stage import SAID, Stage
from tests.system.running import MODEL

pytestmark = pytest.mark.system

ANSWERING = ["agents-chat", MODEL]
"""A fake, and the real model behind llama.cpp."""
BASH = {
    "name": "Bash",
    "description": "Run a command.",
    "input_schema": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"command": {"type": "string"}, "timeout": {"type": "number"}},
        "required": ["command"],
        "additionalProperties": False,
    },
}
CLAUDE = {
    "x-api-key": "none",
    "authorization": "Bearer none",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
    "x-app": "cli",
    "user-agent": "claude-cli/2.0 (external, cli)",
    "x-stainless-retry-count": "0",
}
CODEX = {
    "authorization": "Bearer none",
    "accept": "text/event-stream",
    "originator": "codex_cli_rs",
    "session_id": "0199a1b2-0000-7000-8000-000000000000",
    "user-agent": "codex_cli_rs/0.50.0",
}


@pytest.fixture
def agent(stage: Stage) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stage.url, timeout=60, trust_env=False) as client:
        yield client


def events(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n") if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines if line != "data: [DONE]"]


def message(model: str, **fields: Any) -> dict[str, Any]:
    kept = {"cache_control": {"type": "ephemeral"}}
    text = {"type": "text", "text": "Name a colour.", **kept}
    return {
        "model": model,
        "max_tokens": 16,
        "system": [{"type": "text", "text": "You are an agent.", **kept}],
        "messages": [{"role": "user", "content": [text]}],
        "metadata": {"user_id": "user_x_account__session_y"},
        **fields,
    }


@pytest.mark.parametrize("model", ANSWERING)
def test_a_claude_code_style_agent_streams_messages(agent: httpx.Client, model: str) -> None:
    body = message(model, stream=True, tools=[BASH] if model != MODEL else [])
    told = events(agent.post("/v1/messages?beta=true", json=body, headers=CLAUDE))

    names = [event["type"] for event in told]
    assert (names[0], names[-1]) == ("message_start", "message_stop")
    assert "content_block_delta" in names
    assert told[-2]["usage"]["output_tokens"] > 0


def test_a_claude_code_style_agent_gets_its_tool_call(agent: httpx.Client) -> None:
    body = message("agents-chat", stream=True, tools=[BASH])
    told = events(agent.post("/v1/messages?beta=true", json=body, headers=CLAUDE))
    opened = next(event for event in told if event["type"] == "content_block_start")
    parts = [event["delta"]["partial_json"] for event in told if "partial_json" in str(event)]

    assert opened["content_block"]["name"] == "Bash"
    assert json.loads("".join(parts)) == {"city": "Paris"}
    assert told[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("model", ANSWERING)
def test_a_claude_code_style_agent_counts_tokens(agent: httpx.Client, model: str) -> None:
    body = message(model)
    del body["max_tokens"], body["metadata"]
    answer = agent.post("/v1/messages/count_tokens?beta=true", json=body, headers=CLAUDE)

    assert answer.status_code == 200
    assert answer.json()["input_tokens"] > 0


def test_an_agent_that_names_no_model_of_ours_hears_which_there_are(agent: httpx.Client) -> None:
    body = message("claude-sonnet-4-5")
    answer = agent.post("/v1/messages?beta=true", json=body, headers=CLAUDE)

    assert answer.status_code == 404
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == "not_found_error"
    assert "claude-sonnet-4-5" in answer.json()["error"]["message"]


def responses(model: str, **fields: Any) -> dict[str, Any]:
    text = {"type": "input_text", "text": "Name a colour."}
    return {
        "model": model,
        "instructions": "You are an agent.",
        "input": [{"type": "message", "role": "user", "content": [text]}],
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": None,
        "store": False,
        "stream": True,
        "include": [],
        "prompt_cache_key": CODEX["session_id"],
        **fields,
    }


@pytest.mark.parametrize("model", ANSWERING)
def test_a_codex_style_agent_streams_responses(agent: httpx.Client, model: str) -> None:
    body = responses(model, max_output_tokens=16)
    told = events(agent.post("/v1/responses", json=body, headers=CODEX))

    names = [event["type"] for event in told]
    assert names[0] == "response.created"
    assert "response.output_text.delta" in names
    assert names[-1] in ("response.completed", "response.incomplete")


def test_a_codex_style_agent_gets_its_tool_call(agent: httpx.Client) -> None:
    shell = {"type": "function", "name": "shell", "strict": False, "parameters": {}}
    body = responses("agents-chat", tools=[shell])
    told = events(agent.post("/v1/responses", json=body, headers=CODEX))
    item = told[-1]["response"]["output"][0]

    assert (item["type"], item["name"]) == ("function_call", "shell")
    assert json.loads(item["arguments"]) == {"city": "Paris"}


def test_aider_streams_a_chat_with_its_fields(agent: httpx.Client) -> None:
    body = {
        "model": "ollama-chat:1b",
        "messages": [
            {"role": "system", "content": "Act as an expert software developer."},
            {"role": "user", "content": "Name a colour."},
            {"role": "assistant", "content": "Ok."},
            {"role": "user", "content": "Another."},
        ],
        "temperature": 0,
        "stream": True,
        "extra_headers": {},
    }
    headers = {"authorization": "Bearer none", "HTTP-Referer": "https://aider.chat"}
    told = events(agent.post("/v1/chat/completions", json=body, headers=headers))
    text = "".join(event["choices"][0]["delta"].get("content") or "" for event in told)

    assert text == SAID


@pytest.mark.parametrize("model", ["ollama-chat:1b", "openai-chat:1b", "llama-chat"])
def test_continue_chats_in_ollamas_words(agent: httpx.Client, model: str) -> None:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Name a colour."}],
        "options": {"num_predict": 16, "num_ctx": 2048, "stop": ["<|im_end|>"], "top_k": 40},
        "keep_alive": 1800,
        "stream": True,
    }
    shown = agent.post("/api/show", json={"name": model})
    answer = agent.post("/api/chat", json=body, headers={"authorization": "Bearer none"})
    lines = [json.loads(line) for line in answer.text.split("\n") if line]

    assert shown.status_code == answer.status_code == 200
    assert "".join(line["message"]["content"] for line in lines) == SAID
    assert lines[-1]["done"] is True


def test_continue_completes_code_in_ollamas_words(agent: httpx.Client) -> None:
    body = {
        "model": "ollama-chat:1b",
        "prompt": "<fim_prefix>def red():<fim_suffix>\n<fim_middle>",
        "raw": True,
        "options": {"num_predict": 64, "stop": ["<fim_prefix>", "\n\n"], "temperature": 0.01},
        "keep_alive": 1800,
        "stream": True,
    }
    answer = agent.post("/api/generate", json=body)
    lines = [json.loads(line) for line in answer.text.split("\n") if line]

    assert answer.status_code == 200
    assert "".join(line["response"] for line in lines) == SAID
    assert lines[-1]["done"] is True


def test_the_ollama_command_finds_what_it_looks_for(agent: httpx.Client) -> None:
    """`ollama run`: is it there, what can it do, load it, chat. `ollama ls`, `ollama ps`."""
    assert agent.head("/").status_code == 200
    assert agent.get("/", headers={"accept": "*/*"}).text == "Ollama is running"
    assert agent.head("/api/version").status_code == 200
    shown = agent.post("/api/show", json={"model": "ollama-chat:1b"}).json()
    loaded = agent.post("/api/generate", json={"model": "ollama-chat:1b"})
    tags, running = agent.get("/api/tags").json(), agent.get("/api/ps").json()

    assert "completion" in shown["capabilities"]
    assert loaded.json()["done"] is True
    assert all(len(model["digest"]) >= 12 for model in tags["models"] + running["models"])
    assert "ollama-chat:1b" in {model["name"] for model in running["models"]}
