"""LangChain in both protocols: `python -m tests.clients.scripts.langchain openai|ollama`."""

import sys
from collections.abc import Callable
from typing import Any

from langchain_ollama import (  # type: ignore[import-not-found] # in its own environment
    ChatOllama,
    OllamaEmbeddings,
    OllamaLLM,
)
from langchain_openai import (  # type: ignore[import-not-found] # in its own environment
    ChatOpenAI,
    OpenAI,
    OpenAIEmbeddings,
)

from tests.clients.scripts.reporting import (
    DATA_URL,
    MOST,
    NOWHERE,
    ROOMY,
    SEED,
    STOP,
    WEATHER,
    Light,
    Target,
    answer,
    refused,
    run,
    vectors,
)

Make = Callable[..., Any]


def openai_chat(target: Target, model: str = "", most: int | None = MOST, **fields: Any) -> Any:
    return ChatOpenAI(
        model=model or target.chat,
        base_url=f"{target.url}/v1",
        api_key="none",
        max_tokens=most,
        **fields,
    )


def ollama_chat(target: Target, model: str = "", most: int | None = MOST, **fields: Any) -> Any:
    return ChatOllama(model=model or target.chat, base_url=target.url, num_predict=most, **fields)


def openai_text(target: Target) -> Any:
    return OpenAI(model=target.chat, base_url=f"{target.url}/v1", api_key="none", max_tokens=MOST)


def ollama_text(target: Target) -> Any:
    return OllamaLLM(model=target.chat, base_url=target.url, num_predict=MOST)


def openai_vectors(target: Target) -> Any:
    """It would count tokens with a table from the internet; the node counts them itself."""
    return OpenAIEmbeddings(
        model=target.embed,
        base_url=f"{target.url}/v1",
        api_key="none",
        check_embedding_ctx_length=False,
    )


def ollama_vectors(target: Target) -> Any:
    return OllamaEmbeddings(model=target.embed, base_url=target.url)


class LangChain:
    """The features, whichever protocol it speaks."""

    def __init__(
        self, make: Make, text: Callable[[Target], Any], embedder: Callable[[Target], Any]
    ) -> None:
        self._make = make
        self._text = text
        self._embedder = embedder

    def chat(self, target: Target) -> object:
        said = self._make(target).invoke(target.question("chat"))
        told = said.response_metadata
        usage = said.usage_metadata
        finish = told.get("finish_reason") or told.get("done_reason")
        return answer(said.content, finish, usage["input_tokens"], usage["output_tokens"])

    def stream(self, target: Target) -> object:
        parts = self._make(target).stream(target.question("stream"))
        return {"pieces": [part.content for part in parts if part.content]}

    def usage(self, target: Target) -> object:
        fields = {} if self._make is ollama_chat else {"stream_usage": True}
        parts = list(self._make(target, **fields).stream(target.question("usage")))
        told = [part.usage_metadata for part in parts if part.usage_metadata]
        assert len(told) == 1
        return {"usage": [told[0]["input_tokens"], told[0]["output_tokens"]]}

    def completion(self, target: Target) -> object:
        return {"text": self._text(target).invoke(target.question("completion"))}

    def options(self, target: Target) -> object:
        ask = target.question("options")
        stopped = self._make(target, seed=SEED, stop=[STOP]).invoke(ask)
        cut = self._make(target, most=2, seed=SEED).invoke(ask)
        told = cut.response_metadata
        return {
            "stopped": stopped.content,
            "cut": cut.content,
            "finish": told.get("finish_reason") or told.get("done_reason"),
        }

    def tools(self, target: Target) -> object:
        ask = {"role": "user", "content": target.question("tools")}
        said = self._make(target).bind_tools([WEATHER]).invoke([ask])
        call = said.tool_calls[0]
        result = {"role": "tool", "tool_call_id": call["id"], "content": "rain"}
        after = self._make(target).invoke([ask, said, result]).content
        return {"name": call["name"], "arguments": call["args"], "after": after}

    def tool_stream(self, target: Target) -> object:
        bound = self._make(target).bind_tools([WEATHER])
        whole: Any = None
        for part in bound.stream(target.question("tool_stream")):
            whole = part if whole is None else whole + part
        call = whole.tool_calls[0]
        return {"name": call["name"], "arguments": call["args"]}

    def schema(self, target: Target) -> object:
        held = self._make(target, most=ROOMY).with_structured_output(Light, method="json_schema")
        return {"parsed": held.invoke(target.question("schema")).model_dump()}

    def image(self, target: Target) -> object:
        parts = [
            {"type": "text", "text": target.question("image")},
            {"type": "image_url", "image_url": {"url": DATA_URL}},
        ]
        return {"text": self._make(target).invoke([{"role": "user", "content": parts}]).content}

    def thinking(self, target: Target) -> object:
        model = self._make(target, model=target.think, reasoning=True)
        said = model.invoke(target.question("thinking"))
        return {"thinking": said.additional_kwargs["reasoning_content"], "text": said.content}

    def embeddings(self, target: Target) -> object:
        return vectors(self._embedder(target).embed_documents(["red", "a blue light"]))

    def unknown(self, target: Target) -> object:
        return refused(lambda: self._make(target, model=NOWHERE).invoke("hi"))

    def hang_up(self, target: Target) -> object:
        parts = self._make(target, model=target.slow, most=None).stream(target.question("hang_up"))
        first = next(parts)
        parts.close()
        return {"first": first.content}


if __name__ == "__main__":
    told = sys.argv[1]
    spoken = {
        "openai": LangChain(openai_chat, openai_text, openai_vectors),
        "ollama": LangChain(ollama_chat, ollama_text, ollama_vectors),
    }[told]
    run(
        {
            "chat": spoken.chat,
            "stream": spoken.stream,
            "usage": spoken.usage,
            "completion": spoken.completion,
            "options": spoken.options,
            "tools": spoken.tools,
            "tool_stream": spoken.tool_stream,
            "schema": spoken.schema,
            "image": spoken.image,
            "thinking": spoken.thinking,
            "embeddings": spoken.embeddings,
            "unknown": spoken.unknown,
            "hang_up": spoken.hang_up,
        }
    )
