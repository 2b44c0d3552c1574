"""The embeddings of a fake Ollama: vectors of length 1, the same for the same text."""

import base64
import hashlib
import math
import random
import struct
from collections.abc import Sequence
from typing import Any

from tests.fakes.ollama_calls import NATIVE
from tests.fakes.ollama_go import Refusal, read, seconds, written
from tests.fakes.ollama_models import Model, Shelf
from tests.fakes.ollama_openai import Rejected, document, plain
from tests.fakes.ollama_voices import Said, Times

FIELDS = {"model": "string", "prompt": "string"}
UNABLE = "This server does not support embeddings. Start it with `--embeddings`"


class Embedding:
    """One call. `texts`: what the model reads; `status` is that of a model that cannot.

    Raises: Refusal.
    """

    status = 501

    def __init__(self, body: bytes, shelf: Shelf) -> None:
        self.asked = self.read(body)
        keep = self.asked.get("keep_alive")
        self.keep = None if keep is None else seconds(keep)
        self.name = self.asked.get("model") or ""
        self.model: Model = shelf.find(self.name, self.lost())
        self.texts = self.inputs()
        self.counts: list[int] = []

    def read(self, body: bytes) -> dict[str, Any]:
        return read(body, "api.EmbedRequest", FIELDS, nothing=NATIVE)

    def lost(self) -> str:
        return (
            f'model "{self.name}" not found, try pulling it first'
            if self.name
            else ("model '' not found")
        )

    def inputs(self) -> list[str]:
        given = self.asked.get("input")
        if given in (None, ""):
            return []
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
            raise Refusal(400, "invalid input type")
        return texts

    def vectors(self, *, modern: bool) -> list[list[float]]:
        """Raises: Refusal."""
        if modern and "embedding" not in self.model.capabilities:
            raise Refusal(self.status, UNABLE)
        most = self.model.context
        sizes = [len(text.split()) + 2 for text in self.texts]
        if self.asked.get("truncate") is False and max(sizes, default=0) > most:
            raise Refusal(400, "the input length exceeds the context length")
        self.counts = [min(size, most) for size in sizes]
        length = self.asked.get("dimensions") or self.model.embedding
        return [vector(text, min(length, self.model.embedding)) for text in self.texts]

    def told(self, vectors: Sequence[Sequence[float]], times: Times) -> Said:
        body: dict[str, Any] = {"model": self.name, "embeddings": vectors}
        if vectors:
            body["total_duration"] = times.total
            body["load_duration"] = times.load
            body["prompt_eval_count"] = sum(self.counts)
        return Said(written(body).encode())


class OldEmbedding(Embedding):
    """/api/embeddings: one text, and nothing told but its vector."""

    status = 500

    def read(self, body: bytes) -> dict[str, Any]:
        asked = read(body, "api.EmbeddingRequest", FIELDS, nothing=NATIVE)
        if not asked.get("model"):
            raise Refusal(400, "model is required")
        return asked

    def inputs(self) -> list[str]:
        prompt = self.asked.get("prompt")
        return [prompt] if prompt else []

    def told(self, vectors: Sequence[Sequence[float]], times: Times) -> Said:
        return Said(written({"embedding": [*vectors, []][0]}).encode())


class OpenAiEmbedding(Embedding):
    """/v1/embeddings: "" is a text here."""

    def read(self, body: bytes) -> dict[str, Any]:
        asked = document(body, "openai.EmbedRequest", FIELDS)
        coding = asked.get("encoding_format") or "float"
        if coding not in ("float", "base64"):
            raise Rejected(
                400,
                f"Invalid value for 'encoding_format' = {coding}. "
                "Supported values: ['float', 'base64'].",
            )
        if asked.get("input") in (None, []):
            raise Rejected(400, "invalid input")
        return asked | {"truncate": None, "keep_alive": None}

    def inputs(self) -> list[str]:
        return [""] if self.asked["input"] == "" else super().inputs()

    def told(self, vectors: Sequence[Sequence[float]], times: Times) -> Said:
        coded = self.asked.get("encoding_format") == "base64"
        rows = [
            {"object": "embedding", "embedding": packed(one) if coded else one, "index": at}
            for at, one in enumerate(vectors)
        ]
        count = sum(self.counts)
        usage = {"prompt_tokens": count, "total_tokens": count}
        return plain({"object": "list", "data": rows, "model": self.name, "usage": usage})


def vector(text: str, length: int) -> list[float]:
    chance = random.Random(hashlib.sha256(text.encode()).digest())
    raw = [chance.gauss(0.0, 1.0) for _ in range(length)]
    size = math.sqrt(sum(one * one for one in raw))
    return [round(one / size, 8) for one in raw]


def packed(numbers: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
