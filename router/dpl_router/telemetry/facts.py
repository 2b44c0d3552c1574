"""What the core is told of a node and of its models, made of all that is known of it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from dpl_router.inventory.types import Node
from dpl_router.listing import Listed
from dpl_router.scheduling.types import ModelFacts, NodeFacts
from dpl_router.telemetry.bars import Bars
from dpl_router.telemetry.check import Check
from dpl_router.telemetry.names import Place
from dpl_router.telemetry.sample import ModelSample, NodeSample, PeopleSample


class Known(NamedTuple):
    """Of one node; samples say nothing where nobody has told any."""

    sample: NodeSample
    fresh: bool
    """The sample is young enough to go by."""
    people: PeopleSample
    check: Check | None
    look: Mapping[str, Listed]
    """The node's own name of a model -> what it said of it when we last asked."""


def node_facts(
    node: Node, known: Known, models: Mapping[str, ModelFacts], bars: Bars, now: float
) -> NodeFacts:
    sample, fresh, check = known.sample, known.fresh, known.check
    return NodeFacts(
        node=node.name,
        labels=node.labels,
        kind="gpu" if sample.accelerator else "cpu",
        up=sample.up if fresh else None,
        eligible=bars.eligible(node.name, sample, now) if fresh else None,
        sampled_at=sample.sampled_at,
        slots=_said(node, sample) or _unsaid(node, check),
        memory_free=sample.memory_free if fresh else None,
        exclusive=bars.exclusive(node.name, sample if fresh else None),
        cordoned=node.cordoned or bars.cordoned(node.name),
        models=models,
        inventory_known=fresh or (check is not None and (check.ok or bool(check.models))),
    )


def models_of(
    node: str, known: Known, places: Mapping[str, Place], odd: Mapping[str, frozenset[str]]
) -> Iterator[tuple[str, ModelFacts]]:
    """By our names. Requests are told of each model once, also where it has several. `odd`: model
    -> the nodes that are left out of it."""
    counted: set[str] = set()
    room = sum(gpu.memory_total or 0 for gpu in known.people.gpus.values())
    for name, (own, _) in places.items():
        facts = _model_facts(own, known, room)
        if odd and node in odd.get(name, ()):
            facts = replace(facts, differs=True)
        yield (
            name,
            facts
            if known.fresh and own not in counted
            else replace(facts, running=None, waiting=None),
        )
        counted.add(own)


def _model_facts(own: str, known: Known, room: int) -> ModelFacts:
    """`room`: bytes of all the node's accelerators, 0 where nobody tells."""
    sample, _, people, check, looks = known
    model, look = sample.models.get(own) or ModelSample(), looks.get(own) or Listed(own)
    looked = check.at if check is not None and check.ok and look.loaded is not None else None
    if looked is not None and model.loaded is not None and looked < (sample.sampled_at or 0.0):
        looked = None  # the sample is younger
    return ModelFacts(
        loaded=model.loaded if looked is None else look.loaded,
        seen_at=looked,
        running=model.running,
        waiting=model.waiting,
        context=look.context,
        memory=_needs(look.size or people.sizes.get(own), room),
        identity=look.digest or people.digests.get(own),
        decode=model.decode,
    )


def _needs(size: int | None, room: int) -> int | None:
    """Bytes of the accelerator's memory. What is larger than all of it is split by the engine, so
    that nobody knows what it needs there."""
    return None if size is None or 0 < room < size else size


def _said(node: Node, sample: NodeSample) -> int | None:
    """Without an exporter the recorded slots are a guess, and nodes.yaml knows better."""
    return sample.slots if node.exporter is not None or node.slots is None else None


def _unsaid(node: Node, check: Check | None) -> int | None:
    """Where no exporter says: Ollama answers one request at a time unless it is told otherwise, and
    then `slots` of nodes.yaml says so."""
    ollama = "ollama" in (node.kind, check.dialect if check is not None else "")
    return 1 if ollama and node.slots is None else None
