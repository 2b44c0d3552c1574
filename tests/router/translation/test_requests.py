"""What is asked of a node in the other protocol, feature by feature."""

import json
from typing import Any

import pytest

from dpl_router.conversation import Api, ChatRequest
from dpl_router.errors import BadRequest
from dpl_router.upstreams.llamacpp import LlamaCppDialect
from dpl_router.upstreams.ollama import OllamaDialect
from tests.router.translation.asked import HI, OTHER, PNG, SCHEMA, TOOL, request, sent


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
