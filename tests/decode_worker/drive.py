"""Plays a decode worker around its scheduler: fetches, joins, drops at random, and knows every right answer."""

from dataclasses import dataclass, field
from random import Random

from common.engine.limits import Limits
from common.engine.messages import (
    Command,
    Drop,
    Event,
    Join,
    Joined,
    MoreTokens,
    PrefixChanged,
    PromptScores,
    Quarantine,
    Refused,
    Reserve,
    Reserved,
    Started,
    StepTokens,
    SubmitLocal,
)
from common.engine.plan import StepPlan
from common.types.attempt import Attempt
from common.types.ids import AttemptId
from common.types.sampling import SampledToken, TokenLogprobs
from decode_worker.scheduler import DecodeScheduler
from tests.engine.attempts import tables
from tests.engine.fake_model import FakeRunner, answer, chain_of, prompt_scores


@dataclass
class Stay:
    """One attempt as the outside sees it."""

    attempt: Attempt
    local: bool
    expected: dict[int, list[SampledToken]]
    got: dict[int, list[SampledToken]] = field(default_factory=dict)
    scores: list[TokenLogprobs] = field(default_factory=list)
    dropped: set[int] = field(default_factory=set)
    blocks: tuple[int, ...] = ()
    num_cached: int = 0
    state: str = "queued"

    @property
    def complete(self) -> bool:
        return all(self.got.get(c) == rows for c, rows in self.expected.items() if c not in self.dropped)


class Drive:
    """One scheduler, one fake model, and the truth."""

    def __init__(self, limits: Limits, num_blocks: int, block_tokens: int = 4) -> None:
        self.tables = tables(num_blocks, block_tokens)
        self.scheduler = DecodeScheduler(limits, self.tables)
        self.runner = FakeRunner(block_tokens)
        self.stays: dict[AttemptId, Stay] = {}
        self.hashes: set[int] = set()
        self.now = 0.0

    def enter(self, attempt: Attempt, local: bool) -> Stay:
        limit = self.scheduler.limits.max_model_tokens
        expected = {choice.index: answer(attempt, choice.index, limit) for choice in attempt.choices}
        stay = self.stays[attempt.id] = Stay(attempt, local, expected)
        self.post(SubmitLocal(attempt) if local else Reserve(attempt))
        return stay

    def join(self, stay: Stay) -> None:
        """The fetch is done: everything but the cached blocks was written, the cached ones are right already."""
        chain = chain_of(stay.attempt.token_ids)
        held = stay.num_cached * self.tables.block_tokens
        assert self.runner.read(stay.blocks, min(held, len(chain))) == chain[:held]
        self.runner.fill(stay.blocks, stay.attempt.token_ids)
        self.land(stay, tuple(stay.expected[choice][0] for choice in stay.attempt.fresh_choices))

    def land(self, stay: Stay, first_tokens: tuple[SampledToken, ...]) -> None:
        stay.state = "running"
        self.post(Join(stay.attempt.id, first_tokens))

    def quarantine(self, stay: Stay) -> None:
        stay.state = "quarantined"
        self.post(Quarantine(stay.attempt.id))

    def drop(self, stay: Stay, choices: tuple[int, ...] = ()) -> None:
        stay.dropped.update(choices or stay.expected)
        if not choices or (stay.local and stay.dropped >= stay.expected.keys()):
            stay.state = "gone"
        self.post(Drop(stay.attempt.id, choices))

    def post(self, command: Command) -> None:
        self.take(self.scheduler.accept(command, self.now))
        self.tables.pool.check()

    def step(self) -> bool:
        """One step; whatever copies are in flight write their garbage first."""
        for stay in self.stays.values():
            if stay.state in ("reserved", "quarantined"):
                self.runner.spoil(stay.blocks[stay.num_cached :])
        self.now += 0.01
        plan = self.scheduler.plan(self.now)
        self.tables.pool.check()
        if plan is None:
            assert not self.scheduler._admit(self.now), "somebody fits and nobody would wake up for it"
            return False
        assert plan.num_tokens <= self.scheduler.limits.token_budget
        assert len(plan.works) <= self.scheduler.limits.max_sequences
        self.done(plan)
        return True

    def planned(self) -> StepPlan:
        """A step that there must be, not yet run."""
        plan = self.scheduler.plan(self.now)
        assert plan is not None
        return plan

    def done(self, plan: StepPlan) -> None:
        self.take(plan.events)
        self.take(self.scheduler.commit(plan, self.runner.run(plan), self.now))
        self.tables.pool.check()

    def run(self) -> None:
        while self.step():
            pass

    def take(self, events: tuple[Event, ...]) -> None:
        for event in events:
            match event:
                case Reserved(id, blocks, num_cached):
                    stay = self.stays[id]
                    assert (stay.state, stay.local) == ("queued", False)
                    stay.blocks, stay.num_cached, stay.state = blocks, num_cached, "reserved"
                case Started(id):
                    assert (self.stays[id].state, self.stays[id].local) == ("queued", True)
                    self.stays[id].state = "running"
                case PromptScores(id, tokens):
                    self.stays[id].scores += tokens
                case StepTokens() | MoreTokens():
                    for id, token in event.rows:
                        self._token(self.stays[id], token)
                case Refused(id):
                    self.stays[id].state = "refused"
                case PrefixChanged(added, removed):
                    self.hashes = (self.hashes | set(added)) - set(removed)
                case Joined(id):
                    assert self.stays[id].state == "running"
                case _:
                    raise AssertionError(f"{event} does not belong here")

    def _token(self, stay: Stay, token: SampledToken) -> None:
        assert stay.state == "running"
        assert token.choice not in stay.dropped, "a dropped choice goes on"
        rows = stay.got.setdefault(token.choice, [])
        assert token == stay.expected[token.choice][len(rows)]
        rows.append(token)

    def finish(self, random: Random) -> None:
        """Everything that can end does end, with the right answer, and all blocks come back."""
        for _ in range(5000):
            for stay in list(self.stays.values()):
                if stay.state == "reserved" and random.random() < 0.5:
                    self.join(stay)
                elif stay.state == "quarantined" and random.random() < 0.2:
                    self.drop(stay)
            if not self.step() and not any(stay.state in ("reserved", "quarantined") for stay in self.stays.values()):
                break
        for stay in self.stays.values():
            assert stay.state in ("running", "refused", "gone")
            if stay.state == "running":
                assert stay.complete
                self._scored(stay)
        self.empty()

    def _scored(self, stay: Stay) -> None:
        wanted = stay.local and stay.attempt.sampling.prompt_logprobs is not None
        if wanted and not stay.dropped:
            assert tuple(stay.scores) == prompt_scores(stay.attempt)
        elif not wanted:
            assert not stay.scores

    def empty(self) -> None:
        """Nothing is held; every cached block is the one the router was told of."""
        counts, load = self.tables.pool.counts(), self.scheduler.load()
        assert counts.num_free + counts.num_cached == self.tables.pool.num_blocks
        assert (load.num_running, load.num_waiting, load.backlog_tokens) == (0, 0, 0)
        assert len(self.hashes) == counts.num_cached
        assert not self.scheduler._residents
