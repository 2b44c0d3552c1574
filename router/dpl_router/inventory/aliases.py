"""A node's `aliases`: our names for its models, told apart from its own."""

from collections.abc import Mapping

from dpl_router.inventory.document import Document, Place

LATEST = ":latest"
"""What Ollama takes a name without a tag for."""


def untagged(name: str) -> str:
    """As clients spell it without care: no `:latest`, no capitals. Names equal so are one."""
    return name.casefold().removesuffix(LATEST)


def checked(document: Document, place: Place, aliases: Mapping[str, str]) -> dict[str, str]:
    """The same; what no client could tell apart, and what would lead on, is noted as mistaken."""
    seen: dict[str, str] = {}
    for ours, own in aliases.items():
        here, spelled = (*place, ours), untagged(ours)
        if spelled == untagged(own):
            document.wrong(
                here,
                f"{ours!r} is the same name",
                "leave it out: capitals and :latest are no matter",
            )
        elif spelled in seen:
            document.wrong_field(
                here, f"is {seen[spelled]!r} once more", "capitals and :latest make no other name"
            )
        elif own in aliases:
            document.wrong(
                here,
                f"{own!r} is an alias itself",
                f"write the node's own name, {aliases[own]!r}",
            )
        seen.setdefault(spelled, ours)
    return dict(aliases)
