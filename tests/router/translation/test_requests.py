"""What is asked of a node in the other protocol, feature by feature."""

import json
from typing import Any, ClassVar

import pytest

from dpl_router.conversation import Api, ChatRequest
from dpl_router.errors import BadRequest
from dpl_router.translation import ollama_to_openai
from dpl_router.upstreams.base import Head, Request
from dpl_router.upstreams.llamacpp import LlamaCppDialect
from dpl_router.upstreams.ollama import OllamaDialect
from dpl_router.upstreams.openai import OpenAiDialect

PNG = "iVBORw0KGgo"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
OTHER = {"type": "function", "function": {"name": "time"}}
HI = [{"role": "user", "content": "hi"}]


def request(api: Api, body: dict[str, Any], *, stream: bool = False) -> Request:
    """As the dialect of the other protocol makes it."""
    dialect = OllamaDialect() if api.startswith("openai") else OpenAiDialect()
    data = json.dumps({"model": "mine", "stream": stream, **body}).encode()
    return dialect.request(ChatRequest("r1", "mine", data, stream, False, 1, api=api), "theirs")


def sent(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    """Without what every body has."""
    said: dict[str, Any] = json.loads(request(api, body).body)
    assert said.pop("model") == "theirs"
    said.pop("stream", None)
    return said


def openai_chat(**more: Any) -> dict[str, Any]:
    """Of an OpenAI client, beyond the messages; the body as an Ollama node gets it."""
    said = sent("openai.chat", {"messages": HI, **more})
    assert said.pop("messages") == HI
    return said


def ollama_chat(**more: Any) -> dict[str, Any]:
    said = sent("ollama.chat", {"messages": HI, **more})
    assert said.pop("messages") == HI
    return said


TO_OLLAMA: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "nulls": ({"temperature": None, "stop": None, "tools": None, "seed": None}, {}),
    "temperature": ({"temperature": 0}, {"options": {"temperature": 0}}),
    "top_p": ({"top_p": 0.5}, {"options": {"top_p": 0.5}}),
    "seed": ({"seed": 7}, {"options": {"seed": 7}}),
    "one stop word": ({"stop": "x"}, {"options": {"stop": ["x"]}}),
    "stop words": ({"stop": ["x", "y"]}, {"options": {"stop": ["x", "y"]}}),
    "max_tokens": ({"max_tokens": 5}, {"options": {"num_predict": 5}}),
    "max_completion_tokens": (
        {"max_completion_tokens": 6, "max_tokens": 5},
        {"options": {"num_predict": 6}},
    ),
    "no limit": ({"max_tokens": 0}, {}),
    "penalties": (
        {"presence_penalty": 0.5, "frequency_penalty": 1},
        {"options": {"presence_penalty": 0.5, "frequency_penalty": 1}},
    ),
    "vendor extras": (
        {"top_k": 4, "min_p": 0.1, "repeat_penalty": 1.1, "num_ctx": 2048},
        {"options": {"top_k": 4, "min_p": 0.1, "repeat_penalty": 1.1, "num_ctx": 2048}},
    ),
    "options as they are": ({"options": {"num_gpu": 1}}, {"options": {"num_gpu": 1}}),
    "keep_alive": ({"keep_alive": "5m"}, {"keep_alive": "5m"}),
    "JSON": ({"response_format": {"type": "json_object"}}, {"format": "json"}),
    "a schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
        {"format": SCHEMA},
    ),
    "text": ({"response_format": {"type": "text"}}, {}),
    "effort": ({"reasoning_effort": "high"}, {"think": "high"}),
    "least effort": ({"reasoning_effort": "minimal"}, {"think": "low"}),
    "no effort": ({"reasoning_effort": "none"}, {"think": False}),
    "effort in an object": ({"reasoning": {"effort": "low"}}, {"think": "low"}),
    "a template's switch": ({"chat_template_kwargs": {"enable_thinking": False}}, {"think": False}),
    "think": ({"think": True}, {"think": True}),
    "logprobs": ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
    "no logprobs": ({"logprobs": False, "top_logprobs": None}, {}),
    "tools": ({"tools": [TOOL, OTHER], "tool_choice": "auto"}, {"tools": [TOOL, OTHER]}),
    "a tool by name": (
        {"tools": [TOOL, OTHER], "tool_choice": {"function": {"name": "time"}}},
        {"tools": [OTHER]},
    ),
    "no tool": ({"tools": [TOOL], "tool_choice": "none"}, {}),
    "functions of old": ({"functions": [TOOL["function"]]}, {"tools": [TOOL]}),
    "one answer": ({"n": 1}, {}),
    "what Ollama has no word for": ({"user": "u", "logit_bias": {}, "store": True}, {}),
}


@pytest.mark.parametrize(("said", "wanted"), TO_OLLAMA.values(), ids=TO_OLLAMA)
def test_an_ollama_node_is_asked_in_its_words(said: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert openai_chat(**said) == wanted


TO_OPENAI: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "options": (
        {"options": {"temperature": 0, "top_p": 0.5, "seed": 7, "stop": ["x"], "top_k": 4}},
        {"temperature": 0, "top_p": 0.5, "seed": 7, "stop": ["x"], "top_k": 4},
    ),
    "repeat_penalty by both names": (
        {"options": {"repeat_penalty": 1.1}},
        {"repeat_penalty": 1.1, "repetition_penalty": 1.1},
    ),
    "num_predict": ({"options": {"num_predict": 5}}, {"max_tokens": 5}),
    "no limit": ({"options": {"num_predict": 0}}, {}),
    "no limit either": ({"options": {"num_predict": -1}}, {}),
    "what only Ollama knows": ({"options": {"num_ctx": 99, "num_gpu": 1}, "keep_alive": -1}, {}),
    "JSON": ({"format": "json"}, {"response_format": {"type": "json_object"}}),
    "a schema": (
        {"format": SCHEMA},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
            }
        },
    ),
    "an empty format": ({"format": ""}, {}),
    "think": ({"think": True}, {"chat_template_kwargs": {"enable_thinking": True}}),
    "do not think": (
        {"think": False},
        {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": False}},
    ),
    "a level": ({"think": "high"}, {"reasoning_effort": "high"}),
    "logprobs": ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
    "tools": ({"tools": [TOOL]}, {"tools": [TOOL]}),
    "a tool without a type": ({"tools": [{"function": {"name": "time"}}]}, {"tools": [OTHER]}),
}


@pytest.mark.parametrize(("said", "wanted"), TO_OPENAI.values(), ids=TO_OPENAI)
def test_an_openai_node_is_asked_in_its_words(said: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert ollama_chat(**said) == wanted


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


@pytest.mark.parametrize(
    ("image", "mime"),
    [("/9j/4AAQ", "jpeg"), ("R0lGODlh", "gif"), ("UklGRg", "webp"), ("AAAA", "png")],
)
def test_the_type_of_an_image_is_told_by_its_first_bytes(image: str, mime: str) -> None:
    talk = [{"role": "user", "content": "", "images": [image]}]

    [message] = sent("ollama.chat", {"messages": talk})["messages"]

    url = {"url": f"data:image/{mime};base64,{image}"}
    assert message["content"] == [{"type": "image_url", "image_url": url}]


REFUSED: dict[str, tuple[Api, dict[str, Any], str]] = {
    "several answers": ("openai.chat", {"messages": HI, "n": 2}, "n"),
    "several completions": ("openai.completion", {"prompt": "x", "n": 2}, "n"),
    "an image of the web": (
        "openai.chat",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}],
                }
            ]
        },
        "messages[0].content[0].image_url",
    ),
    "sound": (
        "openai.chat",
        {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        "messages[0].content[0].type",
    ),
    "arguments that are no JSON": (
        "openai.chat",
        {"messages": [{"tool_calls": [{"function": {"name": "a", "arguments": "{"}}]}]},
        "messages[0].tool_calls[0].function.arguments",
    ),
    "an unknown format": (
        "openai.chat",
        {"messages": HI, "response_format": {"type": "xml"}},
        "response_format.type",
    ),
    "a temperature in words": (
        "openai.chat",
        {"messages": HI, "temperature": "hot"},
        "temperature",
    ),
    "a message that is none": ("openai.chat", {"messages": ["hi"]}, "messages[0]"),
    "an echo": ("openai.completion", {"prompt": "x", "echo": True}, "echo"),
    "several prompts": ("openai.completion", {"prompt": ["x", "y"]}, "prompt"),
    "a prompt of token ids": ("openai.completion", {"prompt": [1, 2]}, "prompt"),
    "token ids to embed": ("openai.embedding", {"input": [1, 2]}, "input[0]"),
    "the context of old": ("ollama.generate", {"prompt": "x", "context": [1]}, "context"),
    "a template": ("ollama.generate", {"prompt": "x", "template": "{{ .Prompt }}"}, "template"),
    "an unknown thought": ("ollama.chat", {"messages": HI, "think": "deep"}, "think"),
    "a thought that is a list": ("ollama.chat", {"messages": HI, "think": []}, "think"),
    "a thought that is an object": ("ollama.generate", {"prompt": "x", "think": {}}, "think"),
    "an effort that is a list": (
        "openai.chat",
        {"messages": HI, "reasoning_effort": []},
        "reasoning_effort",
    ),
    "an effort that is an object": (
        "openai.chat",
        {"messages": HI, "reasoning": {"effort": {}}},
        "reasoning.effort",
    ),
    "an id that is a list": (
        "openai.chat",
        {"messages": [{"tool_calls": [{"id": [], "function": {"name": "a"}}]}]},
        "messages[0].tool_calls[0].id",
    ),
    "a choice that is a list": ("openai.chat", {"messages": HI, "tool_choice": []}, "tool_choice"),
    "a choice of a number": (
        "openai.chat",
        {"messages": HI, "tool_choice": {"function": 5}},
        "tool_choice.function",
    ),
    "an older choice of a list": (
        "openai.chat",
        {"messages": HI, "function_call": {"function": ["a"]}},
        "function_call.function",
    ),
    "an unknown shape": ("ollama.chat", {"messages": HI, "format": "xml"}, "format"),
}


@pytest.mark.parametrize(("api", "body", "place"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_said_to_the_node_is_refused_by_name(
    api: Api, body: dict[str, Any], place: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        request(api, body)

    assert caught.value.param == place
    assert place.rpartition(".")[2].partition("[")[0] in caught.value.message


def test_a_completion_reaches_ollama_untouched_by_a_template() -> None:
    said = sent("openai.completion", {"prompt": ["x"], "max_tokens": 3, "logprobs": 2})

    assert said == {
        "prompt": "x",
        "raw": True,
        "options": {"num_predict": 3},
        "logprobs": True,
        "top_logprobs": 2,
    }


def test_a_suffix_needs_the_template_that_puts_it_in() -> None:
    assert sent("openai.completion", {"prompt": "x", "suffix": "z"}) == {
        "prompt": "x",
        "suffix": "z",
    }


def test_a_generate_becomes_a_chat_of_one_question() -> None:
    said = sent("ollama.generate", {"prompt": "What?", "system": "Be terse.", "images": [PNG]})

    system, user = said["messages"]
    assert system == {"role": "system", "content": "Be terse."}
    assert user["content"][0] == {"type": "text", "text": "What?"}
    assert user["content"][1]["image_url"]["url"].endswith(PNG)


@pytest.mark.parametrize("more", [{"raw": True}, {"suffix": "z"}])
def test_a_raw_generate_becomes_a_completion(more: dict[str, Any]) -> None:
    asked = {"prompt": "x", "options": {"num_predict": 3}, "logprobs": True, "top_logprobs": 2}
    told = request("ollama.generate", {**asked, **more})

    assert told.path == "/v1/completions"
    said = json.loads(told.body)
    assert (said["prompt"], said["max_tokens"], said["logprobs"]) == ("x", 3, 2)
    assert said.get("suffix") == more.get("suffix")


@pytest.mark.parametrize(
    ("api", "name"), [("ollama.embed", "input"), ("ollama.embeddings", "prompt")]
)
def test_embeddings_are_asked_for_as_floats(api: Api, name: str) -> None:
    assert sent(api, {name: "x", "dimensions": 8, "truncate": True}) == {
        "input": "x",
        "encoding_format": "float",
        "dimensions": 8,
    }


def test_embeddings_are_asked_of_ollama_with_what_it_knows() -> None:
    said = sent("openai.embedding", {"input": ["x"], "encoding_format": "base64", "dimensions": 8})

    assert said == {"input": ["x"], "dimensions": 8}


@pytest.mark.parametrize("api", ["ollama.chat", "ollama.generate"])
def test_usage_is_always_asked_of_a_stream(api: Api) -> None:
    told = request(api, {"messages": HI, "prompt": "x"}, stream=True)

    assert json.loads(told.body)["stream_options"] == {"include_usage": True}
    assert told.headers["Accept"] == "text/event-stream"


def test_llama_cpp_is_asked_for_a_stream_where_a_plain_answer_can_be_made_of_it() -> None:
    """It is deaf to hang-ups otherwise."""
    data = json.dumps({"model": "mine", "messages": HI, "stream": False}).encode()
    plain = ChatRequest("r1", "mine", data, False, False, 1, api="ollama.chat")

    assert json.loads(LlamaCppDialect().request(plain, "theirs").body)["stream"] is True


def test_half_an_emoji_is_no_reason_to_refuse() -> None:
    data = b'{"model":"mine","messages":[{"role":"user","content":"a\\ud83d"}]}'
    asked = ChatRequest("r1", "mine", data, False, False, 1)

    body = OllamaDialect().request(asked, "theirs").body

    assert json.loads(body)["messages"][0]["content"] == "a\ufffd"


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
