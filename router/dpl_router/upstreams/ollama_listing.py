"""What /api/tags and /api/ps say of a node's models.

Recordings facts 28 and 32: names with the same weights share one runner and /api/ps lists only the
first, so a digest counts, not a name; `context_length` is that of one place.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dpl_router.errors import NoModelList
from dpl_router.listing import Listed
from dpl_router.loose_json import MALFORMED
from dpl_router.upstreams.complaint import complaint
from dpl_router.upstreams.ollama_context import canonical
from dpl_router.upstreams.ollama_records import LISTING

Entry = Mapping[str, Any]

CLOUD = ("-cloud", ":cloud")
"""How the names of models end that Ollama's cloud answers for."""
MEMORY = "size_loaded"
"""In `Listed.details`: bytes that a loaded model takes; `size` of /api/ps."""
OF_PS = ("expires_at", "size_vram")
KINDS: Mapping[str, type[Any]] = {
    **dict.fromkeys(("parent_model", "format", "family"), str),
    **dict.fromkeys(("parameter_size", "quantization_level"), str),
    **dict.fromkeys(("modified_at", "expires_at"), str),
    **dict.fromkeys(("families", "capabilities"), list),
    "size_vram": int,
}
"""What clients and we read of `Listed.details`, as what; of another kind it counts as unsaid."""
TOLD_APART = frozenset({"name", "model", "size", "digest", "details"})


def entries(body: bytes) -> Sequence[Entry]:
    """Raises: NoModelList."""
    try:
        models = LISTING.decode(body).models or []
    except MALFORMED:
        said = complaint(body)
        raise NoModelList("its answer is no list of models" + (said and f": {said}")) from None
    return [entry for entry in models if isinstance(name_of(entry), str)]


def name_of(entry: Entry) -> Any:
    return entry.get("name") or entry.get("model")


def listed_of(tags: bytes | None, ps: bytes | None = None) -> list[Listed]:
    """Raises: NoModelList, where `tags` is no list."""
    here = entries(tags or b"")
    try:
        running: Sequence[Entry] | None = None if ps is None else entries(ps)
    except NoModelList:
        running = None
    return [listed(entry, running) for entry in here]


def listed(entry: Entry, running: Sequence[Entry] | None) -> Listed:
    name: str = name_of(entry)
    runner = next((one for one in running or () if same(entry, one)), None)
    told, digest = entry.get("details"), entry.get("digest")
    details: dict[str, Any] = {**told} if isinstance(told, dict) else {}
    details |= {key: said for key, said in entry.items() if key not in TOLD_APART}
    if runner is not None:
        details |= {key: runner[key] for key in OF_PS if key in runner}
        details[MEMORY] = whole(runner.get("size"))
    return Listed(
        name,
        loaded=None if running is None else runner is not None,
        context=whole(runner.get("context_length")) if runner is not None else None,
        size=whole(entry.get("size")),
        digest=digest if isinstance(digest, str) else None,
        remote=bool(entry.get("remote_host") or entry.get("remote_model")) or name.endswith(CLOUD),
        details={
            key: said
            for key, said in details.items()
            if key not in KINDS or isinstance(said, KINDS[key])
        },
    )


def same(one: Entry, other: Entry) -> bool:
    """The same weights, as far as the two lists tell."""
    digest = one.get("digest")
    if digest and digest == other.get("digest"):
        return True
    return canonical(name_of(one)) == canonical(name_of(other))


def whole(said: Any) -> int | None:
    return said if isinstance(said, int) and not isinstance(said, bool) and said > 0 else None


def contexts_of(models: Sequence[Listed]) -> dict[str, int]:
    """The loaded context by canonical name, also of names that were made from a loaded model, and
    of what it was made from: they most likely share its runner."""
    families: dict[str, int] = {}
    for model in models:
        if model.context is not None:
            families.setdefault(_family(model), model.context)
    known = {canonical(model.name): families.get(_family(model)) for model in models}
    own = {canonical(model.name): model.context for model in models if model.context is not None}
    return {name: tokens for name, tokens in {**known, **own}.items() if tokens is not None}


def _family(model: Listed) -> str:
    parent = model.details.get("parent_model")
    return canonical(parent if isinstance(parent, str) and parent else model.name)
