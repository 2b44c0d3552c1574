"""What a llama.cpp says of its model, and of requests that no server could answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from dpl_router.conversation import Api, ChatRequest
from dpl_router.errors import RequestRefused, UpstreamRefused
from dpl_router.upstreams.base import Head
from dpl_router.upstreams.llamacpp import LlamaCppDialect
from dpl_router.upstreams.llamacpp_listing import human, quantisation

RECORDINGS = Path(__file__).parents[2] / "recordings" / "llama.cpp"
MODELS = (RECORDINGS / "v1-models.json").read_bytes()
PROPS = (RECORDINGS / "props.json").read_bytes()
NAME = "tiny-random"
TOOL = {"type": "function", "function": {"name": "weather"}}


def looked(models: bytes, *props: bytes | None) -> LlamaCppDialect:
    dialect = LlamaCppDialect()
    dialect.read_models([models, *props])
    return dialect


def call(api: Api = "openai.chat", **body: Any) -> ChatRequest:
    asked = {"model": NAME, "messages": [{"role": "user", "content": "hi"}], **body}
    return ChatRequest("r1", NAME, json.dumps(asked).encode(), True, True, 1, api=api)


def test_what_a_real_server_says_of_its_model_is_listed() -> None:
    (listed,) = LlamaCppDialect().read_models([MODELS, PROPS])

    assert (listed.name, listed.loaded, listed.context, listed.size) == (NAME, True, 256, 26060544)
    assert listed.details == {
        "format": "gguf",
        "parameter_size": "6.52M",
        "quantization_level": "F32",
        "context_length": 512,
        "embedding_length": 64,
        "capabilities": ["completion"],
    }


@pytest.mark.parametrize("props", [None, b"<html>", b"{}", b'{"chat_template_caps":{}}', b"[]"])
def test_where_the_server_does_not_say_what_it_can_nothing_is_said(props: bytes | None) -> None:
    dialect = LlamaCppDialect()
    (listed,) = dialect.read_models([MODELS, props])

    assert "capabilities" not in listed.details
    assert dialect.request(call(tools=[TOOL]), NAME).body


@pytest.mark.parametrize(
    "meta", ["null", '"x"', '{"n_ctx":"x","size":-1,"n_params":true,"ftype":3}']
)
def test_odd_words_about_a_model_leave_it_its_name(meta: str) -> None:
    body = f'{{"data":[{{"id":"m","owned_by":"llamacpp","meta":{meta}}}]}}'.encode()
    (listed,) = LlamaCppDialect().read_models([body, None])

    assert (listed.name, listed.context, listed.size) == ("m", None, None)


@pytest.mark.parametrize(
    ("ftype", "level"),
    [
        ("Q4_K - Medium", "Q4_K_M"),
        ("Q3_K - Large", "Q3_K_L"),
        ("Q4_1", "Q4_1"),
        ("all F32", "F32"),
        ("BF16", "BF16"),
        ("MXFP4 MoE", "MXFP4"),
        ("IQ4_NL - 4.5 bpw", "IQ4_NL"),
        ("Q8_0 (guessed)", ""),
        ("unknown, may not work", ""),
    ],
)
def test_a_quantisation_is_spelled_as_ollama_spells_it(ftype: str, level: str) -> None:
    assert quantisation(ftype) == level


@pytest.mark.parametrize(
    ("parameters", "said"),
    [(7_000_000_000, "7B"), (7_615_616_512, "7.6B"), (134_515_008, "134.52M"), (12, "12")],
)
def test_parameters_are_counted_as_ollama_counts_them(parameters: int, said: str) -> None:
    assert human(parameters) == said


@pytest.mark.parametrize("api", ["openai.chat", "ollama.chat"])
def test_tools_that_the_server_would_drop_unsaid_are_refused(api: Api) -> None:
    dialect = looked(MODELS, PROPS)

    with pytest.raises(RequestRefused, match="tiny-random does not support tools"):
        dialect.request(call(api, tools=[TOOL]), NAME)


@pytest.mark.parametrize(
    "body", [{}, {"tools": []}, {"tools": None}, {"tools": [TOOL], "tool_choice": "none"}]
)
def test_who_wants_no_tools_is_not_refused(body: dict[str, Any]) -> None:
    assert looked(MODELS, PROPS).request(call(**body), NAME).body


def test_tools_go_to_a_model_whose_template_has_them() -> None:
    props = json.loads(PROPS)
    props["chat_template_caps"]["supports_tools"] = True

    assert looked(MODELS, json.dumps(props).encode()).request(call(tools=[TOOL]), NAME).body


@pytest.mark.parametrize(
    "message",
    [
        "'messages' is required",
        "image input is not supported - hint: if this is unexpected, you may need to provide the "
        "mmproj",
        "audio input is not supported - hint: if this is unexpected, you may need to provide the "
        "mmproj",
        'Failed to parse tools: Expected \'tools\' to be an array, got "x"; tools = "x"',
    ],
)
def test_a_500_that_is_the_requests_fault_is_the_requests(message: str) -> None:
    body = json.dumps({"error": {"code": 500, "message": message, "type": "server_error"}})
    error = LlamaCppDialect().refusal(Head(500, {}), body.encode())

    assert isinstance(error, RequestRefused)
    assert (error.status, error.message) == (400, message)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "Compute error."),
        (500, "the model's file is required"),
        (501, "This server does not support reranking. Start it with `--reranking`"),
    ],
)
def test_a_node_that_fails_is_still_to_blame(status: int, message: str) -> None:
    body = json.dumps({"error": {"code": status, "message": message, "type": "server_error"}})

    assert isinstance(LlamaCppDialect().refusal(Head(status, {}), body.encode()), UpstreamRefused)
