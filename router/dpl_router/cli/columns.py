"""The columns of `dpl get`: of a node, a model, a lease; what is not known is `-`."""

from collections.abc import Sequence
from typing import Any

from dpl_router.cli.tables import Column, Row

Columns = tuple[Sequence[Column], Sequence[Column]]
"""The narrow ones, and those of `-o wide`."""


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}%"


def size(value: float | None) -> str:
    """Bytes as GiB, below one as MiB."""
    if value is None:
        return "-"
    return f"{value / 2**20:.0f}M" if 0 < value < 2**30 else f"{value / 2**30:.1f}G"


def since(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f}s ago"


def within(seconds: float | None) -> str:
    return "-" if seconds is None else f"in {seconds:.0f}s"


def places(node: Row) -> str:
    slots = node.get("slots")
    return f"{node.get('in_flight') or 0}/{'?' if slots is None else slots}"


def memory(node: Row) -> str:
    known = node.get("memory") or {}
    return f"{size(known.get('used'))}/{size(known.get('total'))}" if known else "-"


def gpu(node: Row) -> str:
    cards = node.get("gpu") or ()
    return ",".join(percent(card.get("percent")) for card in cards) or "-"


def why(node: Row) -> str:
    """Its reason; of a cordon or a lock also since when it stands."""
    barred = {"cordoned": node.get("cordons"), "locked": [node.get("lock")]}
    first = next(iter(barred.get(str(node.get("state"))) or ()), None) or {}
    said = str(node.get("reason") or "-")
    return f"{said}, since {first['since']}" if first.get("since") else said


def models_of(node: Row) -> str:
    """Those that can answer at once; `+3` tells how many more are installed but not loaded."""
    known = node.get("models") or ()
    loaded = [model["name"] for model in known if model.get("loaded") is not False]
    more = len(known) - len(loaded)
    return " ".join([",".join(loaded), f"+{more}" if more else ""]).strip() or "-"


def loaded_on(model: Row) -> str:
    """A server that does not say what is loaded serves what it lists."""
    return ",".join(each["node"] for each in on(model) if is_loaded(each)) or "-"


def installed_on(model: Row) -> str:
    """What does not answer is marked: it has the model, but nobody can use it now."""
    rest = [each for each in on(model) if not is_loaded(each)]
    return ",".join(each["node"] + " (offline)" * is_offline(each) for each in rest) or "-"


def is_loaded(each: Row) -> bool:
    return each.get("loaded") is not False and not is_offline(each)


def is_offline(each: Row) -> bool:
    return each.get("online") is False


def on(model: Row) -> Sequence[Row]:
    """What nodes say of it."""
    return [each for each in model.get("nodes") or () if isinstance(each.get("node"), str)]


def said(model: Row, field: str) -> Sequence[Any]:
    """Each node's word once, without those that do not tell."""
    words = [each.get(field) for each in on(model)]
    return list(dict.fromkeys(word for word in words if word is not None))


def sizes(model: Row) -> str:
    return size(max(said(model, "size"), default=None))


def own_names(model: Row) -> str:
    return ",".join(name for name in said(model, "name") if name != model["name"]) or "-"


def held(lease: Row) -> str:
    if lease.get("exclusive"):
        return "all"
    slots = lease.get("slots")
    return "-" if slots is None else str(slots)


NARROW: Sequence[Column] = (
    ("NAME", lambda node: str(node["name"])),
    ("STATE", lambda node: str(node.get("state") or "unknown")),
    ("BUSY", places),
    ("CPU", lambda node: percent(node.get("cpu"))),
    ("MEMORY", memory),
    ("MODELS", models_of),
    ("MEASURED", lambda node: since(node.get("age"))),
)
WIDE: Sequence[Column] = (
    *NARROW[:5],
    ("GPU", gpu),
    ("LOCKED", lambda node: "yes" if node.get("exclusive") or node.get("lock") else "no"),
    ("CORDONED", lambda node: "yes" if node.get("cordoned") else "no"),
    *NARROW[5:],
    ("REASON", why),
)
NODES = NARROW, WIDE
NARROW_MODELS: Sequence[Column] = (
    ("NAME", lambda model: str(model["name"])),
    ("LOADED", loaded_on),
    ("ON DISK", installed_on),
    ("SIZE", sizes),
    ("CONTEXT", lambda model: ",".join(map(str, said(model, "context"))) or "-"),
)
WIDE_MODELS: Sequence[Column] = (
    *NARROW_MODELS,
    ("DIGEST", lambda model: ",".join(word[:12] for word in said(model, "digest")) or "-"),
    ("OWN NAME", own_names),
)
MODELS = NARROW_MODELS, WIDE_MODELS
ALL_OF_A_LEASE: Sequence[Column] = (
    ("NODE", lambda lease: str(lease["node"])),
    ("OWNER", lambda lease: str(lease.get("owner") or "-")),
    ("SLOTS", held),
    ("EXPIRES", lambda lease: within(lease.get("expires_in"))),
    ("PROBLEM", lambda lease: str(lease.get("problem") or "-")),
)
LEASES = ALL_OF_A_LEASE, ALL_OF_A_LEASE
AGED = ("MEASURED", "EXPIRES")
AGES = ("age", "expires_in")
"""What goes on by itself, as columns and as fields: that alone is no change."""
