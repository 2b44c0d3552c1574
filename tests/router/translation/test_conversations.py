"""A conversation with tools, images and thoughts, told to a node of the other protocol."""

import json
from typing import Any, ClassVar

from dpl_router.conversation import ChatRequest
from dpl_router.translation import ollama_to_openai
from dpl_router.upstreams.base import Head
from dpl_router.upstreams.ollama import OllamaDialect
from tests.router.translation.asked import HI, PNG, TOOL, sent

OPENAI_TALK: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be terse."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What"},
            {"type": "text", "text": "is it?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
            },
            {"id": "c2", "type": "function", "function": {"name": "time", "arguments": ""}},
        ],
    },
    {"role": "tool", "tool_call_id": "c2", "content": "noon"},
    {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
]
OLLAMA_TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be terse."},
    {"role": "user", "content": "What\nis it?", "images": [PNG]},
    {
        "role": "assistant",
        "content": "",
        "thinking": "Hm.",
        "tool_calls": [
            {"id": "c1", "function": {"name": "weather", "arguments": {"city": "Rome"}}},
            {"id": "c2", "function": {"name": "time", "arguments": {}}},
        ],
    },
    {"role": "tool", "tool_name": "time", "tool_call_id": "c2", "content": "noon"},
    {"role": "tool", "tool_name": "weather", "tool_call_id": "c1", "content": "sunny"},
]


def test_a_conversation_with_images_thoughts_and_tools_is_told_to_an_ollama_node() -> None:
    assert sent("openai.chat", {"messages": OPENAI_TALK})["messages"] == OLLAMA_TALK


def test_a_conversation_with_images_thoughts_and_tools_is_told_to_an_openai_node() -> None:
    system, user, called, *answers = sent("ollama.chat", {"messages": OLLAMA_TALK})["messages"]

    assert system == {"role": "system", "content": "Be terse."}
    assert user["content"] == [
        {"type": "text", "text": "What\nis it?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ]
    assert called["reasoning_content"] == "Hm."
    assert [one["id"] for one in called["tool_calls"]] == ["c1", "c2"]
    assert json.loads(called["tool_calls"][0]["function"]["arguments"]) == {"city": "Rome"}
    assert [one["tool_call_id"] for one in answers] == ["c2", "c1"]


def test_tool_calls_without_ids_get_some_that_their_answers_name() -> None:
    """Older Ollama clients know names only; two calls of one name are answered in order."""
    calls: list[Any] = [{"function": {"name": name, "arguments": {}}} for name in ("a", "b", "a")]
    answers = [{"role": "tool", "tool_name": name, "content": name} for name in ("b", "a", "a")]
    talk = [*HI, {"role": "assistant", "content": "", "tool_calls": calls}, *answers]

    _, called, *said = sent("ollama.chat", {"messages": talk})["messages"]

    ids = [one["id"] for one in called["tool_calls"]]
    assert len(set(ids)) == 3
    assert all(id_.startswith("call_") for id_ in ids)
    assert [one["tool_call_id"] for one in said] == [ids[1], ids[0], ids[2]]
    assert sent("ollama.chat", {"messages": talk})["messages"][1] == called


def test_an_answer_to_a_call_that_its_id_took_is_to_the_next_of_that_name() -> None:
    calls: list[Any] = [{"id": f"c{at}", "function": {"name": "a"}} for at in range(4)]
    answers: list[Any] = [
        {"role": "tool", "tool_call_id": "c1"},
        {"role": "tool", "tool_name": "a"},
        {"role": "tool", "tool_name": "a"},
        {"role": "tool", "tool_call_id": ["c0"], "tool_name": {}},
        {"role": "tool", "tool_call_id": "c0", "tool_name": "a"},
    ]
    talk = [{"role": "assistant", "tool_calls": calls}, *answers]

    _, *said = sent("ollama.chat", {"messages": talk})["messages"]

    assert [one["tool_call_id"] for one in said] == ["c1", "c0", "c2", "c3", "c0"]


class Counted(str):
    """A text that counts how often one of its kind is compared."""

    __slots__ = ()
    compared: ClassVar[list[int]] = []
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        self.compared.append(1)
        return str(self) == str(other)


def test_of_many_tool_calls_each_is_looked_at_a_few_times() -> None:
    many = 300
    calls = [{"function": {"name": Counted(f"f{at}")}} for at in range(many)]
    answers = [{"role": "tool", "tool_name": Counted(f"no{at}")} for at in range(many)]
    Counted.compared.clear()

    said = ollama_to_openai.chat({"messages": [{"tool_calls": calls}, *answers]})["messages"]

    assert len({one["tool_call_id"] for one in said[1:]}) == many
    assert len(Counted.compared) < 10 * many


def test_without_a_chat_a_conversation_becomes_one_prompt() -> None:
    data = json.dumps({"model": "mine", "messages": OPENAI_TALK, "tools": [TOOL]}).encode()
    asked = ChatRequest("r1", "mine", data, True, False, 1)
    missing = OllamaDialect().second(asked, "theirs", Head(404, {}), b"404 page not found")

    assert missing is not None
    said = json.loads(missing.body)
    assert said["system"] == "Be terse."
    assert said["images"] == [PNG]
    assert said["prompt"].startswith("User: What\nis it?\n\n")
    assert said["prompt"].endswith("\n\nTool: sunny\n\nAssistant:")
    assert "tools" not in said
