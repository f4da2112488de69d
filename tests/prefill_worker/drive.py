"""Plays a prefill worker around its scheduler: submits, drops, checks every announced block against the fake model."""

from dataclasses import dataclass, field

from common.engine.limits import Limits
from common.engine.messages import (
    BlocksReady,
    Drop,
    Event,
    FirstTokens,
    PrefixChanged,
    PromptScores,
    Refused,
    Sealed,
    Started,
    Submit,
)
from common.engine.plan import StepPlan
from common.types.attempt import Attempt
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Manifest
from common.types.sampling import SampledToken, TokenLogprobs
from prefill_worker.scheduler import PrefillScheduler
from tests.engine.attempts import tables
from tests.engine.fake_model import FakeRunner, answer, chain_of, prompt_scores


@dataclass
class Lending:
    """One attempt as the outside sees it."""

    attempt: Attempt
    lend: bool
    refs: list[BlockRef] = field(default_factory=list)
    scores: list[TokenLogprobs] = field(default_factory=list)
    started: Started | None = None
    first: FirstTokens | None = None
    manifest: Manifest | None = None
    refused: Refused | None = None
    dropped: set[int] = field(default_factory=set)
    gone: bool = False


class Drive:
    """One scheduler, one fake model, and the truth."""

    def __init__(self, limits: Limits, num_blocks: int, block_tokens: int = 4, *, sums_early: bool = False) -> None:
        self.sums_early = sums_early
        self.tables = tables(num_blocks, block_tokens)
        self.scheduler = PrefillScheduler(limits, self.tables, "layout")
        self.runner = FakeRunner(block_tokens)
        self.lendings: dict[AttemptId, Lending] = {}
        self.hashes: set[int] = set()
        self.now = 0.0

    def submit(self, attempt: Attempt, lend: bool = True) -> Lending:
        lending = self.lendings[attempt.id] = Lending(attempt, lend)
        self.take(self.scheduler.accept(Submit(attempt, lend), self.now))
        return lending

    def drop(self, lending: Lending, choices: tuple[int, ...] = ()) -> None:
        """Naming every choice ends only what nobody will fetch."""
        lending.dropped.update(choices)
        all_dropped = len(lending.dropped) == len(lending.attempt.choices)
        lending.gone = not choices or (not lending.lend and all_dropped)
        self.take(self.scheduler.accept(Drop(lending.attempt.id, choices), self.now))
        self.tables.pool.check()

    def step(self) -> StepPlan | None:
        self.now += 0.5
        plan = self.scheduler.plan(self.now)
        self.tables.pool.check()
        if plan is None:
            return None
        assert plan.num_tokens <= self.scheduler.limits.token_budget
        assert len(plan.works) <= self.scheduler.limits.max_sequences
        self.take(plan.events)
        self.now += 0.5
        result = self.runner.run(plan)
        if self.sums_early and plan.final_blocks:
            self.take(self.scheduler.summed(plan, result.checksums))
        self.take(self.scheduler.commit(plan, result, self.now))
        self.tables.pool.check()
        self.intact()
        return plan

    def take(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if isinstance(event, PrefixChanged):
                self.hashes = (self.hashes | set(event.added)) - set(event.removed)
                continue
            lending = self.lendings[event.manifest.attempt if isinstance(event, Sealed) else _id(event)]
            assert not lending.gone
            match event:
                case Started():
                    assert lending.started is None
                    lending.started = event
                case PromptScores(_, tokens):
                    lending.scores += tokens
                case BlocksReady(_, first_block, refs):
                    assert lending.lend
                    assert first_block == len(lending.refs)
                    lending.refs += refs
                case FirstTokens(_, tokens):
                    self._first(lending, tokens)
                    lending.first = event
                case Sealed(manifest):
                    assert lending.first is not None
                    assert list(manifest.blocks) == lending.refs
                    lending.manifest = manifest
                case Refused():
                    lending.refused = event
                case _:
                    raise AssertionError(f"{event} does not belong here")

    def _first(self, lending: Lending, tokens: tuple[SampledToken, ...]) -> None:
        attempt, limit = lending.attempt, self.scheduler.limits.max_model_tokens
        assert list(tokens) == [answer(attempt, token.choice, limit)[0] for token in tokens]
        if attempt.sampling.prompt_logprobs is not None:
            assert tuple(lending.scores) == prompt_scores(attempt)

    def intact(self) -> None:
        """What was announced stays what it is for as long as it is lent."""
        for lending in self.lendings.values():
            if lending.gone or not lending.refs:
                continue
            for ref in lending.refs:
                assert self.runner.checksum(ref.block) == ref.checksum
                assert self.tables.pool.generation(ref.block) == ref.generation
            blocks = [ref.block for ref in lending.refs]
            chain = chain_of(lending.attempt.token_ids)
            num = min(len(blocks) * self.tables.block_tokens, len(chain))
            assert self.runner.read(blocks, num) == chain[:num]

    def empty(self) -> None:
        """Nothing is held; every cached block is one that the router was told of."""
        counts, load = self.tables.pool.counts(), self.scheduler.load()
        assert counts.num_free + counts.num_cached == self.tables.pool.num_blocks
        assert (load.num_running, load.num_waiting, load.backlog_tokens) == (0, 0, 0)
        assert len(self.hashes) == counts.num_cached
        assert not self.scheduler._runs


def _id(event: Event) -> AttemptId:
    id = getattr(event, "id", None)
    assert isinstance(id, AttemptId)
    return id
