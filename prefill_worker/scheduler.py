"""What a prefill worker computes next. Pure: commands, results and `now` in; plans and events out.

    Submit -> waiting -> running (all blocks taken at once, chunk by chunk) -> sealed, until Drop | free at once

First come, first served, with one exception: a long prompt leaves part of each pass to short ones behind it. Blocks
that became final are announced after every step, so that a fetcher copies them while the rest is computed.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice

from common.engine.compose import drawn_tokens, make_plan, new_scores, why_refused
from common.engine.limits import Limits
from common.engine.load import engine_load
from common.engine.messages import (
    BlocksReady,
    Command,
    Drop,
    EngineLoad,
    Event,
    FirstTokens,
    PromptScores,
    Refused,
    Sealed,
    Started,
    Submit,
)
from common.engine.pace import Pace
from common.engine.plan import StepPlan, StepResult
from common.engine.sequence import Sequence
from common.engine.tables import BlockTables
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Manifest
from common.types.sampling import SampledToken

_YIELD_SHARE = 4  # one in so many tokens of a pass may go to short prompts behind a long one


@dataclass(slots=True, eq=False)
class Run:
    """One attempt here; `refs` are its blocks announced so far."""

    sequence: Sequence
    lend: bool
    since: float
    started: float = 0.0
    refs: list[BlockRef] = field(default_factory=list)
    sealed: bool = False

    @property
    def id(self) -> AttemptId:
        return self.sequence.attempt.id


class PrefillScheduler:
    """Owns all attempts of a prefill worker's engine."""

    def __init__(self, limits: Limits, tables: BlockTables, layout_fingerprint: str) -> None:
        self.limits = limits.within(tables.num_slots)
        self._tables = tables
        self._layout = layout_fingerprint
        self._pace = Pace()
        self._runs: dict[AttemptId, Run] = {}
        self._waiting: OrderedDict[AttemptId, Run] = OrderedDict()
        self._running: OrderedDict[AttemptId, Run] = OrderedDict()
        self._checksums: dict[int, tuple[int, int]] = {}  # block -> generation, checksum
        self._planned: list[Sequence] | None = None

    def accept(self, command: Command, now: float) -> tuple[Event, ...]:
        if self._planned is not None:
            raise RuntimeError("a command came between plan and commit")
        self._tables.pool.now = now
        match command:
            case Submit(attempt, lend):
                if attempt.id in self._runs:
                    raise RuntimeError(f"attempt {attempt.id} was submitted twice")
                if (error := self.limits.refusal(attempt)) is not None:
                    return (Refused(attempt.id, error),)
                run = Run(self._tables.sequence(attempt), lend, now)
                self._runs[attempt.id] = self._waiting[attempt.id] = run
            case Drop(id, choices):
                self._drop(id, choices)
            case _:
                raise RuntimeError(f"{type(command).__name__} is not for a prefill worker")
        return ()

    def plan(self, now: float) -> StepPlan | None:
        """The next step, or None when there is nothing to do until a command comes."""
        events: list[Event] = []
        takes: dict[Sequence, int] = {}
        final_blocks: dict[int, None] = {}
        for run, take in self._choose(now, events):
            takes[run.sequence] = take
            final_blocks.update(dict.fromkeys(self._unsummed(run, run.sequence.num_computed + take)))
        if not takes:
            return None
        plan, self._planned = make_plan(takes, final_blocks=final_blocks, events=events)
        return plan

    def summed(self, plan: StepPlan, checksums: tuple[int, ...]) -> tuple[Event, ...]:
        """Blocks of the step that runs are final before its tokens are chosen: fetchers copy them meanwhile."""
        self._note(plan, checksums)
        events: list[Event] = []
        for sequence, work in zip(self._planned or (), plan.works, strict=True):
            events += self._announce(self._runs[sequence.attempt.id], sequence.num_computed + len(work.token_ids))
        return tuple(events)

    def commit(self, plan: StepPlan, result: StepResult, now: float) -> tuple[Event, ...]:
        sequences, self._planned = self._planned or [], None
        self._tables.pool.now = now
        self._pace.note(plan.num_tokens, result.seconds)
        self._note(plan, result.checksums)
        drawn = drawn_tokens(plan, result, self.limits.max_model_tokens)
        scores = result.scores or ((),) * len(plan.works)
        events: list[Event] = []
        for place, (sequence, work) in enumerate(zip(sequences, plan.works, strict=True)):
            run, tokens = self._runs[sequence.attempt.id], drawn[place]
            if tokens is None:
                self._forget(run)
                events.append(Refused(run.id, why_refused(result, place, sequence.attempt.sampling)))
                continue
            sequence.num_computed += len(work.token_ids)
            self._tables.publish(sequence, merge=not run.lend)
            if work.score_ids and (fresh := new_scores(sequence, work, scores[place])):
                events.append(PromptScores(run.id, fresh))
            events += self._announce(run, sequence.num_computed)
            if not sequence.num_remaining:
                events += self._end(run, tuple(tokens), now)
        return (*events, *self._tables.changes())

    def learn(self, num_tokens: int, seconds: float) -> None:
        """What the warm-up's chunk took."""
        self._pace.learn(num_tokens, seconds)

    def load(self) -> EngineLoad:
        backlog = sum(run.sequence.num_remaining for run in self._waiting.values())
        backlog += sum(run.sequence.num_remaining for run in self._running.values())
        return engine_load(
            self._tables,
            num_running=len(self._running),
            num_waiting=len(self._waiting),
            backlog_tokens=backlog,
            prefill_tokens_per_s=self._pace.prefill_tokens_per_s,
            step_ms=self._pace.step_ms,
        )

    def _choose(self, now: float, events: list[Event]) -> list[tuple[Run, int]]:
        """Who computes how much in the next pass; starts those for whom there is room."""
        left, chunked = self.limits.token_budget, False
        chosen: list[tuple[Run, int]] = []
        candidates = [*self._running.values(), *islice(self._waiting.values(), self.limits.max_sequences)]
        for place, run in enumerate(candidates):
            if not left:
                break
            if chunked and run.sequence.num_remaining > left:
                continue
            if run.id in self._waiting and not self._start(run, now, events):
                break
            take = min(run.sequence.num_remaining, left)
            if take < run.sequence.num_remaining:
                take, chunked = take - self._yielded(candidates[place + 1 :], left), True
            chosen.append((run, take))
            left -= take
        return chosen

    def _yielded(self, behind: list[Run], left: int) -> int:
        """How much of the `left` tokens the prompts behind a long one get: only what completes them."""
        total = 0
        for run in behind:
            if total + run.sequence.num_remaining <= left // _YIELD_SHARE:
                total += run.sequence.num_remaining
        return total

    def _start(self, run: Run, now: float, events: list[Event]) -> bool:
        sequence = run.sequence
        if len(self._running) >= self.limits.max_sequences or not self._tables.open(sequence, sequence.num_skippable):
            return False
        self._running[run.id] = self._waiting.pop(run.id)
        run.started = now
        events.append(Started(run.id, sequence.num_computed, now - run.since))
        events += self._announce(run, sequence.num_computed)
        return True

    def _num_final(self, run: Run, num_computed: int) -> int:
        """Leading blocks of a lent attempt that nothing will write any more: the full ones, in the end all."""
        if not run.lend:
            return 0
        done = num_computed == len(run.sequence.tokens)
        return len(run.sequence.blocks) if done else num_computed // self._tables.block_tokens

    def _unsummed(self, run: Run, num_computed: int) -> list[int]:
        blocks = run.sequence.blocks[len(run.refs) : self._num_final(run, num_computed)]
        return [block for block in blocks if self._ref(block) is None]

    def _ref(self, block: int) -> BlockRef | None:
        """A block with its checksum, unless its present content was never summed."""
        generation, checksum = self._checksums.get(block, (0, 0))
        return BlockRef(block, generation, checksum) if generation == self._tables.pool.generation(block) else None

    def _note(self, plan: StepPlan, checksums: tuple[int, ...]) -> None:
        for block, checksum in zip(plan.final_blocks, checksums, strict=True):
            self._checksums[block] = (self._tables.pool.generation(block), checksum)

    def _announce(self, run: Run, num_computed: int) -> list[Event]:
        """What of it has become final and was not announced, with so many tokens computed."""
        first = len(run.refs)
        for block in run.sequence.blocks[first : self._num_final(run, num_computed)]:
            ref = self._ref(block)
            if ref is None:
                break
            run.refs.append(ref)
        return [BlocksReady(run.id, first, tuple(run.refs[first:]))] if len(run.refs) > first else []

    def _end(self, run: Run, first_tokens: tuple[SampledToken, ...], now: float) -> list[Event]:
        first = FirstTokens(run.id, first_tokens, now - run.started)
        if not run.lend:
            self._forget(run)
            return [first]
        del self._running[run.id]
        self._tables.pool.seal(run.sequence.blocks)
        run.sealed = True
        manifest = Manifest(run.id, self._layout, len(run.sequence.tokens), tuple(run.refs), first_tokens)
        return [first, Sealed(manifest)]

    def _drop(self, id: AttemptId, choices: tuple[int, ...]) -> None:
        """A loan ends only when nobody names choices: its fetcher goes by the whole attempt."""
        run = self._runs.get(id)
        if run is None:
            return
        run.sequence.dropped.update(choices)
        if not choices or not (run.lend or run.sequence.wanted):
            self._forget(run)

    def _forget(self, run: Run) -> None:
        del self._runs[run.id]
        self._waiting.pop(run.id, None)
        self._running.pop(run.id, None)
        if run.sealed:
            self._tables.pool.unseal(run.sequence.blocks)
        self._tables.free(run.sequence)
