"""All that the core knows of one node, and the candidate that it makes of it for one model."""

from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any

from dpl_router.scheduling.book import Attempt, Others, Tally
from dpl_router.scheduling.health import Circuit, Health
from dpl_router.scheduling.speed import (
    KEEP_ALIVE,
    LOAD_MAX,
    LOAD_NOTICED,
    PROMPT_MIN,
    Rate,
    measured,
    prior,
)
from dpl_router.scheduling.types import (
    Candidate,
    ModelFacts,
    NodeConfig,
    NodeFacts,
    Outcome,
    Rejection,
)

SLOTS = 4
"""Where neither the node nor nodes.yaml says how many."""
LOAD_UNKNOWN = 5.0
LOAD_BYTES = 1e9
"""Bytes a second at which a model is taken to load until one was seen to."""
ALONE = 1.0
ALONE_MAX = 300.0
"""Seconds that a node which said 429 is left alone: without and with its own wish."""
LIVE = Candidate._fields.index("in_flight")
"""From this field on a candidate is what most requests change."""
WORK_MAX = 100
"""Beyond so many models what was learned of those no longer listed is forgotten."""


@dataclass(slots=True)
class Work:
    """What was learned of one model on one node."""

    prefill: Rate = field(default_factory=Rate)
    decode: Rate = field(default_factory=Rate)
    load: float | None = None
    """Seconds the last load took."""
    used: float = -inf
    """When it last gave a token."""
    loading_until: float = -inf
    """A request of ours makes it load just now."""


class Node:
    def __init__(self, config: NodeConfig) -> None:
        self.id = config.id
        self.config = config
        self.facts = NodeFacts(config.id, inventory_known=False)
        self._prior = prior(self.facts.kind)
        self.gone = False
        """No longer in the fleet: its open attempts may end."""
        self.tally = Tally()
        self.others = Others()
        self.health = Health()
        self.alone_until = -inf
        self.exclusive_until = -inf
        self._exclusive_at = -inf
        self._work: dict[str, Work] = {}
        self._made: dict[str, tuple[float, Work, ModelFacts, tuple[Any, ...]]] = {}
        """The first LIVE fields of the candidates of which nothing else changes until `changed`, or
        the time that stands first."""
        self.readers: list[tuple[list[int], int]] = []
        """Who shows a candidate of this node: the place is written into the list when that is no
        longer true. Told once, so that most events of a request cost nothing here."""

    def counted(self) -> None:
        """Our own requests there, or what was learned from one, changed."""
        for stale, place in self.readers:
            stale.append(place)
        self.readers.clear()

    def changed(self) -> None:
        """Anything else did."""
        self._made.clear()
        self.counted()

    @property
    def slots(self) -> int:
        said, cap = self.facts.slots, self.config.slots
        if said is None:
            said = SLOTS if cap is None else cap
        return max(1, said if cap is None else min(said, cap))

    def learn_facts(self, facts: NodeFacts, now: float) -> None:
        self.facts = facts
        self._prior = prior(facts.kind)
        sampled = now if facts.sampled_at is None else facts.sampled_at
        if sampled > self._exclusive_at and not facts.exclusive:
            self.exclusive_until = -inf
        counted = [model for model in facts.models.values() if model.running is not None]
        if counted:
            total = sum((model.running or 0) + (model.waiting or 0) for model in counted)
            self.others.sampled(total, self.tally.at(sampled), sampled)
        if len(self._work) > WORK_MAX:
            for name in self._work.keys() - facts.models.keys():
                del self._work[name]
        self.changed()

    def configure(self, config: NodeConfig) -> None:
        self.config = config
        self.changed()

    def taken(self, until: float, now: float) -> None:
        """Somebody else has the whole node until then."""
        self.exclusive_until, self._exclusive_at = until, now
        self.changed()

    def leave_alone(self, seconds: float | None, now: float) -> None:
        wish = ALONE if seconds is None or not isfinite(seconds) else seconds
        self.alone_until = now + min(max(wish, 0.0), ALONE_MAX)
        self.changed()

    def usable(self, now: float) -> bool:
        """Could it serve in another's place?"""
        facts = self.facts
        out = self.gone or facts.cordoned or facts.exclusive or self.down
        return not out and self.health.circuit(now) is Circuit.CLOSED

    @property
    def down(self) -> bool:
        facts = self.facts
        told = facts.up is False or facts.eligible is False
        return told or self.health.checked is Circuit.OPEN

    def work(self, model: str) -> Work:
        """What was learned; of a model that the node never listed nothing is kept, so that
        clients' inventions do not fill the memory."""
        work = self._work.get(model)
        if work is None:
            work = Work()
            if model in self.facts.models:
                self._work[model] = work
        return work

    def sent(self, model: str, now: float) -> None:
        """A request goes out: where its model is not there, that loads it."""
        made = self._made.get(model)
        if made is not None and now < made[0]:
            return  # it is there
        work = self.work(model)
        seconds = self._load(model, work, now)
        if seconds and work.loading_until <= now:
            work.loading_until = max(now, self._loads_end(now)) + seconds

    def spoke(self, model: str, now: float) -> None:
        """A first token: the model is there."""
        work = self._work.get(model) or self.work(model)
        work.used, work.loading_until = now, -inf

    def learn(self, attempt: Attempt, outcome: Outcome, now: float) -> None:
        """From the engine's own timings."""
        work = self._work.get(attempt.model) or self.work(attempt.model)
        work.loading_until = -inf
        if outcome.prompt_seconds is None and outcome.eval_seconds is None:
            return self._learn_load(work, outcome)
        prompt = measured(outcome.prompt_evaluated, outcome.prompt_seconds)
        if prompt is not None and prompt[0] >= PROMPT_MIN:
            work.prefill.learn_uncached(*prompt, now)
        answer = measured(outcome.eval_tokens, outcome.eval_seconds)
        if answer is not None:
            crowd = max(1.0, (attempt.crowd + self.tally.count + 1 + self.others.now(now)) / 2)
            slowed = 1 + self._prior.crowding * (crowd - 1)
            work.decode.learn(answer[0], answer[1] / slowed, now)
        return self._learn_load(work, outcome)

    def _learn_load(self, work: Work, outcome: Outcome) -> None:
        load = outcome.load_seconds
        if load is not None and LOAD_NOTICED <= load <= LOAD_MAX:
            work.load = load

    def candidate(self, model: str, now: float) -> Candidate:
        """Made whole only where more than counts and speeds may differ from the last one."""
        made = self._made.get(model)
        if made is None or now >= made[0]:
            return self._whole(model, now)
        _, work, listed, lasting = made
        tally, guess = self.tally, self._prior
        prefill = work.prefill.value(listed.prefill, guess.prefill, now)
        decode = work.decode.value(listed.decode, guess.decode, now)
        living = (tally.count, tally.pending, tally.rest, prefill, decode)
        # As a NamedTuple makes itself, but for a Python call that costs more than the rest.
        return tuple.__new__(Candidate, lasting + living)

    def _whole(self, model: str, now: float) -> Candidate:
        facts, tally, others = self.facts, self.tally, self.others
        guess = self._prior
        listed = facts.models.get(model) or ModelFacts()
        work = self.work(model)
        load = self._load(model, work, now)
        load_from = self._loads_end(now) if load else -inf
        row = Candidate(
            node=facts.node,
            model=model,
            labels=dict(facts.labels),
            barred=self._barred(listed, load),
            exclusive_until=self.exclusive_until,
            alone_until=self.alone_until,
            down=self.down,
            open_until=self.health.open_until,
            trying=self.health.trying,
            known=facts.eligible is True,
            slots=self.slots,
            others=others.value,
            others_mean=others.mean,
            others_at=others.at,
            crowding=guess.crowding,
            load=0.0 if work.loading_until > now else load,
            load_from=work.loading_until if work.loading_until > now else load_from,
            evicts=bool(load) and self._lacks(listed) > 0,
            in_flight=tally.count,
            pending=tally.pending,
            rest=tally.rest,
            prefill=work.prefill.value(listed.prefill, guess.prefill, now),
            decode=work.decode.value(listed.decode, guess.decode, now),
        )
        if not load and work.loading_until == -inf:  # else time alone changes it
            self._made[model] = self._there_until(listed, work), work, listed, row[:LIVE]
        return row

    def _barred(self, model: ModelFacts, load: float) -> Rejection | None:
        if self.facts.cordoned:
            return Rejection.CORDONED
        if self.facts.exclusive:
            return Rejection.EXCLUSIVE
        if model.differs:
            return Rejection.IDENTITY
        if load and self._lacks(model) > self._idle_memory():
            return Rejection.NO_MEMORY
        return None

    def _lacks(self, model: ModelFacts) -> float:
        """Bytes short of what the model needs; -inf where that is not known."""
        if model.memory is None or self.facts.memory_free is None:
            return -inf
        return model.memory - self.facts.memory_free

    def _idle_memory(self) -> float:
        """Bytes that eviction can free; more than any need where a loaded model's is not known."""
        loaded = [model.memory for model in self.facts.models.values() if model.loaded]
        return sum(inf if memory is None else memory for memory in loaded)

    def _load(self, model: str, work: Work, now: float) -> float:
        """Seconds to load; 0 where it is there by the facts, or by our own use since."""
        facts = self.facts.models.get(model) or ModelFacts()
        if facts.loaded or self._used(facts, work, now):
            return 0.0
        if work.load is not None:
            return work.load
        return LOAD_UNKNOWN if facts.memory is None else 1 + facts.memory / LOAD_BYTES

    def _there_until(self, facts: ModelFacts, work: Work) -> float:
        """How long `_load` says 0 where it does now: for ever, or as long as our use says it."""
        if facts.loaded or self._seen_at(facts) is not None:
            return inf
        return work.used + KEEP_ALIVE

    def _seen_at(self, facts: ModelFacts) -> float | None:
        """When somebody saw whether the model is loaded; None where nobody did."""
        if facts.loaded is None:
            return None
        return self.facts.sampled_at if facts.seen_at is None else facts.seen_at

    def _used(self, facts: ModelFacts, work: Work, now: float) -> bool:
        seen_at = self._seen_at(facts)
        return now - work.used < KEEP_ALIVE if seen_at is None else work.used > seen_at

    def _loads_end(self, now: float) -> float:
        """When the loads under way are through; -inf where there are none."""
        return max(
            (work.loading_until for work in self._work.values() if work.loading_until > now),
            default=-inf,
        )
