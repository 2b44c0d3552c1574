"""What a fake Ollama says about itself and its models; pull, copy, delete, create."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from tests.fakes.faults import Seen
from tests.fakes.ollama_calls import NATIVE
from tests.fakes.ollama_go import GIGA, Refusal, read, stamp, written
from tests.fakes.ollama_models import Model, Shelf, key, valid
from tests.fakes.ollama_openai import plain
from tests.fakes.ollama_voices import Said

RECORDED = Path(__file__).parents[1] / "recordings" / "ollama" / "show"
SHOWN = {"bert": "tiny-bert_latest.json", "gemma3": "gemma3_270m.json"}
NAMED = {"model": "string", "name": "string", "stream": "bool"}
OFFLINE = "dial tcp: lookup registry.ollama.ai: no such host"
MEANT = {".Tools": "tools", ".Thinking": "thinking", ".Suffix": "insert"}
"""What a template can do -> the capability that it shows."""


class Pages(Protocol):
    """The server, as its pages know it."""

    version: str
    shelf: Shelf
    registry: Sequence[Model] | None

    @property
    def modern(self) -> bool: ...


def version(node: Pages) -> Said:
    return said({"version": node.version})


def cloud() -> Said:
    return said({"cloud": {"disabled": True, "source": "env"}})


def tags(node: Pages) -> Said:
    return said({"models": [tag(model, modern=node.modern) for model in newest(node)]})


def newest(node: Pages) -> list[Model]:
    return sorted(node.shelf.models.values(), key=lambda one: -(one.modified // GIGA))


def tag(model: Model, *, modern: bool) -> dict[str, Any]:
    details = model.details()
    if modern:
        details |= {"context_length": model.context, "embedding_length": model.embedding}
    row = {
        "name": model.shown,
        "model": model.shown,
        "modified_at": stamp(model.modified),
        "size": model.size,
        "digest": model.hash,
        "details": details,
    }
    return row | ({"capabilities": model.capabilities} if modern else {})


def ps(node: Pages) -> Said:
    extra = () if node.modern else node.shelf.loading.values()
    return said({"models": node.shelf.listed(extra)})


def show(node: Pages, seen: Seen) -> Said:
    """From a recorded answer for the family. Raises: Refusal."""
    asked = read(seen.body, "api.ShowRequest", NAMED, nothing=NATIVE)
    name = asked.get("model") or asked.get("name") or ""
    if not name:
        raise Refusal(400, "model is required")
    model = node.shelf.find(name, f"model '{_full(node, name)}' not found")
    recorded = json.loads((RECORDED / SHOWN.get(model.family, "smollm2_135m.json")).read_bytes())
    told: dict[str, Any] = {"license": model.license} if model.license else {}
    told["modelfile"] = _modelfile(model, recorded["modelfile"])
    if "parameters" in recorded:
        own = f"\n{'num_ctx':<31}{model.num_ctx}" if model.num_ctx else ""
        told["parameters"] = recorded["parameters"] + own
    told["template"] = recorded["template"]
    if model.system:
        told["system"] = model.system
    return said(
        told
        | {
            "details": model.details(),
            "model_info": _info(model, recorded["model_info"]),
            "tensors": [_tensor(at) for at in range(90)],
            "capabilities": model.capabilities,
            "modified_at": stamp(model.modified),
        }
    )


def _modelfile(model: Model, recorded: str) -> str:
    text = re.sub(r"(?m)^# FROM .*", f"# FROM {model.shown}", recorded)
    return re.sub(r"sha256-[0-9a-f]+", f"sha256-{model.file}", text)


def _info(model: Model, recorded: dict[str, Any]) -> dict[str, Any]:
    first = recorded["general.architecture"]
    info = {name.replace(f"{first}.", f"{model.family}.", 1): recorded[name] for name in recorded}
    info["general.architecture"] = model.family
    info[f"{model.family}.context_length"] = model.context
    info[f"{model.family}.embedding_length"] = model.embedding
    return info


def _tensor(at: int) -> dict[str, Any]:
    return {"name": f"blk.{at}.attn_k.weight", "type": "Q4_1", "shape": [576, 192]}


def _full(node: Pages, name: str) -> str:
    return key(name) if node.modern else name


def openai_models(node: Pages) -> Said:
    rows = [openai_model(model, model.shown) for model in newest(node)]
    return plain({"object": "list", "data": rows or None})


def openai_model(model: Model, name: str) -> dict[str, Any]:
    created = model.modified // GIGA
    return {"id": name, "object": "model", "created": created, "owned_by": "library"}


def openai_one(node: Pages, seen: Seen) -> Said:
    """Raises: Refusal."""
    name = unquote(seen.route.removeprefix("/v1/models/"))
    model = node.shelf.find(name, f"model '{_full(node, name)}' not found")
    return plain(openai_model(model, name))


def copy(node: Pages, seen: Seen) -> Said:
    """Raises: Refusal."""
    asked = read(seen.body, "api.CopyRequest", {}, nothing=NATIVE)
    source, destination = asked.get("source") or "", asked.get("destination") or ""
    for what, name in (("source", source), ("destination", destination)):
        if not valid(name):
            raise Refusal(400, f"{what} {json.dumps(name)} is invalid")
    model = node.shelf.find(source, f"model {json.dumps(source)} not found")
    node.shelf.add([replace(model, name=destination, weights=model.file)])
    return Said(b"", "")


def delete(node: Pages, seen: Seen) -> Said:
    """Raises: Refusal."""
    asked = read(seen.body, "api.DeleteRequest", NAMED, nothing=NATIVE)
    name = asked.get("model") or asked.get("name") or ""
    if not valid(name):
        raise Refusal(400, f"name {json.dumps(name)} is invalid")
    model = node.shelf.find(name, f"model '{name}' not found")
    del node.shelf.models[key(model.name)]
    return Said(b"", "")


def steps(node: Pages, seen: Seen) -> tuple[bool, Iterator[dict[str, Any]]]:
    """Of a pull or a create: whether they are streamed, and they. Raises: Refusal."""
    asked = read(seen.body, "api.PullRequest", NAMED, nothing=NATIVE)
    name = asked.get("model") or asked.get("name") or ""
    if not valid(name):
        raise Refusal(400, "invalid model name")
    does = pulled(node, name) if seen.route == "/api/pull" else created(node, name, asked)
    return asked.get("stream") is not False, does


def pulled(node: Pages, name: str) -> Iterator[dict[str, Any]]:
    """A name that the registry knows, or that is here; its layers in steps of a quarter."""
    yield {"status": "pulling manifest"}
    if node.registry is None:
        yield {"error": unreachable(name)}
        return
    here = node.shelf.models.get(key(name))
    model = here or next((one for one in node.registry if key(one.name) == key(name)), None)
    if model is None:
        yield {"error": "pull model manifest: file does not exist"}
        return
    layer = {"status": f"pulling {model.file[:12]}", "digest": f"sha256:{model.file}"}
    for quarter in (4,) if here else (1, 2, 3, 4):
        yield layer | {"total": model.size, "completed": model.size * quarter // 4}
    for status in ("verifying sha256 digest", "writing manifest"):
        yield {"status": status}
    node.shelf.add([model])
    yield {"status": "success"}


def created(node: Pages, name: str, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Only `from` a model that is here. Raises: Refusal."""
    if not asked.get("from"):
        raise Refusal(400, "neither 'from' or 'files' was specified", late=True)
    model = node.shelf.models.get(key(asked["from"]))
    if model is None:
        yield {"status": "pulling manifest"}
        yield {"error": unreachable(asked["from"])}
        return
    template = asked.get("template") or ""
    if template.count("{{") > template.count("}}"):
        raise Refusal(400, "template error: template: :1: unclosed action", late=True)
    shows = tuple(can for word, can in MEANT.items() if word in template)
    asked_ctx = (asked.get("parameters") or {}).get("num_ctx")
    made = replace(
        model,
        name=name,
        weights=model.file,
        digest="",
        parent=model.shown,
        system=asked.get("system") or model.system,
        license=asked.get("license") or model.license,
        capabilities=model.capabilities[:1] + shows if template else model.capabilities,
        num_ctx=asked_ctx if isinstance(asked_ctx, int) else model.num_ctx,
    )
    yield {"status": f"using existing layer sha256:{model.file}"}
    yield {"status": f"creating new layer sha256:{made.hash}"}
    yield {"status": "writing manifest"}
    node.shelf.add([made])
    yield {"status": "success"}


def unreachable(name: str) -> str:
    place, _, tag = key(name).rpartition(":")
    place = place if "/" in place else f"library/{place}"
    url = f"https://registry.ollama.ai/v2/{place}/manifests/{tag}"
    return f'pull model manifest: Get "{url}": {OFFLINE}'


def said(document: Any) -> Said:
    return Said(written(document).encode())
