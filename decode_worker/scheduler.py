"""What a decode worker computes next. Pure: commands, results and `now` in; plans and events out.

    Reserve     -> waiting for room -> reserved -> Join -> running   (or Quarantine, until Drop)
    SubmitLocal -> waiting for room -> running: the common part, then its choices

Room is given first come, first served; whoever waits holds no blocks, and a Reserve that waits is what slows prefill
down. Decode rows go into every step, chunks of prompts into what its budget and its time leave. When blocks run out,
the sequence with the least progress gives its own back and waits again: its tokens are kept and never sent twice. While
nothing happens but plain tokens, steps are planned and committed as a stretch of them.
"""

from dataclasses import replace

from common.engine.compose import drawn_tokens, finish_reason, make_plan, new_scores, why_refused
from common.engine.limits import Limits
from common.engine.load import engine_load
from common.engine.messages import (
    Command,
    Drop,
    EngineLoad,
    Event,
    Join,
    Joined,
    PromptScores,
    Quarantine,
    Refused,
    Reserve,
    Reserved,
    Started,
    StepTokens,
    SubmitLocal,
)
from common.engine.plan import StepPlan, StepResult
from common.engine.sequence import Sequence
from common.engine.tables import BlockTables
from common.types.attempt import Attempt
from common.types.errors import Unavailable
from common.types.ids import AttemptId
from common.types.sampling import SampledToken
from decode_worker.batch import Batch
from decode_worker.ration import Ration
from decode_worker.resident import Phase, Resident, num_rows
from decode_worker.stretch import Stretch

Row = tuple[AttemptId, SampledToken]


class DecodeScheduler:
    """Owns all attempts of a decode worker's engine."""

    def __init__(self, limits: Limits, tables: BlockTables) -> None:
        self.limits = limits.within(tables.num_slots)
        self._tables = tables
        self._residents: dict[AttemptId, Resident] = {}
        self._ration = Ration(self.limits)
        self._batch = Batch(self.limits, tables, self._ration)
        self._planned: list[Sequence] | None = None
        self._before: list[Sequence] = []  # what the last step gave plain tokens to, if it did nothing else
        self._stretch: Stretch | None = None

    def accept(self, command: Command, now: float) -> tuple[Event, ...]:
        if self._planned is not None:
            raise RuntimeError("a command came between plan and commit")
        self._end_stretch()
        self._tables.pool.now = now
        events: list[Event] = []
        match command:
            case Reserve(attempt):
                events += self._enter(attempt, now, local=False)
            case SubmitLocal(attempt):
                events += self._enter(attempt, now, local=True)
            case Join(id, first_tokens):
                events += self._join(id, first_tokens)
            case Quarantine(id):
                self._quarantine(id)
            case Drop(id, choices):
                self._drop(id, choices)
            case _:
                raise RuntimeError(f"{type(command).__name__} is not for a decode worker")
        return (*events, *self._admit(now), *self._tables.changes())

    def plan(self, now: float) -> StepPlan | None:
        """The next step, or None when there is nothing to do until a command comes."""
        if self._stretch is not None:
            if (further := self._stretch.plan()) is not None:
                self._planned = self._stretch.sequences
                return StepPlan((), (), len(self._planned), further=further)
            self._stretch = None
        events: list[Event] = []
        takes, copies = self._batch.choose(self._num_promised_rows)
        if not takes:  # nobody could stay; the oldest of them may fit now that all have left
            self._tables.settle()
            events = self._admit(now)
            takes, copies = self._batch.choose(self._num_promised_rows)
        if not takes:
            return None
        plan, self._planned = make_plan(takes, copies=copies.values(), events=events)
        return plan

    def commit(self, plan: StepPlan, result: StepResult, now: float) -> tuple[Event, ...]:
        sequences, self._planned = self._planned or [], None
        self._tables.pool.now = now
        self._tables.settle()
        self._ration.note(plan.num_decode, plan.num_tokens - plan.num_decode, result.seconds)
        if self._stretch is not None and result.best is not None:
            if (more := self._stretch.commit(result.best)) is not None:
                return (more, *self._tables.changes())
            self._stretch = None
            plan, sequences = make_plan(dict.fromkeys(sequences, 1))
            result = replace(result, sampled=result.best.sampled, best=None)
        drawn = drawn_tokens(plan, result, self.limits.max_model_tokens)
        scores = result.scores or ((),) * len(plan.works)
        rows: list[Row] = []
        scored: list[Event] = []
        refused: list[Event] = []
        for place, (sequence, work) in enumerate(zip(sequences, plan.works, strict=True)):
            resident, tokens = self._residents.get(sequence.attempt.id), drawn[place]
            if resident is None:  # it failed a moment ago with one of its siblings
                continue
            if tokens is None:
                self._forget(resident)
                refused.append(Refused(resident.id, why_refused(result, place, sequence.attempt.sampling)))
                continue
            sequence.num_computed += len(work.token_ids)
            self._tables.publish(sequence, merge=True)
            if work.score_ids and (fresh := new_scores(sequence, work, scores[place])):
                scored.append(PromptScores(resident.id, fresh))
            if not sequence.num_remaining:
                rows += self._advance(resident, sequence, tokens)
        stepped = (StepTokens(tuple(rows)),) if rows else ()
        events = (*scored, *stepped, *refused, *self._admit(now), *self._tables.changes())
        self._begin_stretch(plan, sequences)
        return events

    def learn(self, num_tokens: int, seconds: float) -> None:
        """What the warm-up's chunk took."""
        self._ration.learn(num_tokens, seconds)

    def load(self) -> EngineLoad:
        """Waiting hand-offs are no backlog: their prompts are computed elsewhere."""
        chunked = sum(seq.num_remaining for seq in self._batch.running if seq.num_remaining > 1)
        queued = sum(seq.num_remaining for seq in self._batch.waiting if self._is_computed_here(seq))
        batch = self._batch
        return engine_load(
            self._tables,
            num_running=len(batch.running),
            num_waiting=len(batch.waiting),
            backlog_tokens=chunked + queued,
            prefill_tokens_per_s=self._ration.tokens_per_s(len(batch.running)),
            step_ms=self._ration.step_ms,
            num_preempted=batch.num_preempted,
        )

    def _begin_stretch(self, plan: StepPlan, sequences: list[Sequence]) -> None:
        """Once two steps one after the other gave plain tokens to the same sequences: fewer would not be worth it."""
        before, self._before = self._before, []
        if not self.limits.goes_further or self._batch.waiting or list(self._batch.running) != sequences:
            return
        if len(plan.rows) == plan.num_decode == len(sequences) and all(row.sampling.plain for row in plan.rows):
            self._before = sequences
            as_run = [work.key for work in plan.works] == [sequence.key for sequence in sequences]
            if before == sequences and as_run:
                self._stretch = Stretch(sequences, self._tables, self.limits)

    def _end_stretch(self) -> None:
        if self._stretch is not None:
            self._stretch.end()
            self._stretch = None

    def _enter(self, attempt: Attempt, now: float, local: bool) -> list[Event]:
        if attempt.id in self._residents:
            raise RuntimeError(f"attempt {attempt.id} came twice")
        if (error := self.limits.refusal(attempt)) is not None:
            return [Refused(attempt.id, error)]
        resident = Resident(self._tables.sequence(attempt), local, now)
        self._residents[attempt.id] = resident
        self._batch.waiting.append(resident.common)
        return []

    def _admit(self, now: float) -> list[Event]:
        """Gives room to those who wait, the oldest first, and to nobody before it."""
        events: list[Event] = []
        while self._batch.waiting:
            sequence = self._batch.waiting[0]
            resident = self._residents[sequence.attempt.id]
            hit_tokens = sequence.num_skippable if self._is_computed_here(sequence) else len(sequence.tokens)
            if not self._batch.open(sequence, hit_tokens, self._num_busy_rows()):
                break
            if resident.phase is Phase.QUEUED and not resident.local:
                resident.phase = Phase.RESERVED
                events.append(Reserved(resident.id, tuple(sequence.blocks), sequence.num_published))
                continue
            self._batch.running[sequence] = None
            if resident.phase is Phase.QUEUED:
                resident.phase = Phase.COMPUTING
                events.append(Started(resident.id, sequence.num_computed, now - resident.since))
        return events

    def _num_busy_rows(self) -> int:
        """Rows of the batch that are taken or promised."""
        return self._batch.num_rows + self._num_promised_rows()

    def _num_promised_rows(self) -> int:
        """Rows of hand-offs that are on their way."""
        reserved = (resident for resident in self._residents.values() if resident.phase is Phase.RESERVED)
        return sum(num_rows(resident.common) for resident in reserved)

    def _join(self, id: AttemptId, first_tokens: tuple[SampledToken, ...]) -> list[Event]:
        resident = self._residents.get(id)
        if resident is None:
            return []
        if resident.phase is not Phase.RESERVED:
            raise RuntimeError(f"attempt {id} joined while {resident.phase.name}")
        common = resident.common
        tokens = [self._finished(common, token) for token in first_tokens if token.index == common.num_output]
        if not set(common.next_choices) <= {token.choice for token in tokens}:
            self._forget(resident)
            return [Refused(id, Unavailable("the hand-off came without its first tokens", "handoff"))]
        common.num_computed = len(common.tokens)
        self._tables.publish(common, merge=True)
        rows = self._fork(resident, tokens)
        return [Joined(id), StepTokens(tuple(rows))] if rows else [Joined(id)]

    def _finished(self, common: Sequence, token: SampledToken) -> SampledToken:
        """This pool may be the smaller one of the two: what ends an answer here counts."""
        length = len(common.tokens) + 1
        sampling = common.attempt.sampling
        finish = finish_reason(sampling, token.token_id, token.index, length, self.limits.max_model_tokens)
        return token._replace(finish=token.finish or finish)

    def _advance(self, resident: Resident, sequence: Sequence, tokens: list[SampledToken]) -> list[Row]:
        """A sequence has reached its end, and these tokens follow."""
        if sequence.choice is None:
            return self._fork(resident, tokens)
        [token] = tokens
        sequence.tokens.append(token.token_id)
        if token.finish is not None:
            self._end_choice(resident, sequence.choice)
        return [(resident.id, token)]

    def _fork(self, resident: Resident, first_tokens: list[SampledToken]) -> list[Row]:
        """The common part is complete: every unfinished choice goes on from it by itself."""
        common, rows = resident.common, list[Row]()
        by_choice = {token.choice: token for token in first_tokens}
        for choice in common.wanted:
            follows = choice.tail
            if not follows:
                token = by_choice[choice.index]
                rows.append((resident.id, token))
                if token.finish is not None:
                    continue
                follows = (token.token_id,)
            resident.choices[choice.index] = sequence = self._tables.fork(common, choice.index, follows)
            self._batch.running[sequence] = None
        self._batch.remove(common)
        resident.phase = Phase.FORKED
        if not resident.choices:
            del self._residents[resident.id]
        return rows

    def _quarantine(self, id: AttemptId) -> None:
        resident = self._residents.get(id)
        if resident is None:
            return
        if resident.phase is Phase.RESERVED:
            self._tables.quarantine(resident.common)
        elif resident.phase is Phase.QUEUED and not resident.local:
            self._batch.remove(resident.common)
        else:
            raise RuntimeError(f"attempt {id} cannot be quarantined while {resident.phase.name}")
        resident.phase = Phase.QUARANTINED

    def _drop(self, id: AttemptId, choices: tuple[int, ...]) -> None:
        """While a copy may be under way, dropping choices is only noted: the blocks go with the whole attempt."""
        resident = self._residents.get(id)
        if resident is None:
            return
        resident.common.dropped.update(choices)
        if not choices or (resident.local and resident.phase is not Phase.FORKED and not resident.common.wanted):
            self._forget(resident)
        elif resident.phase is Phase.FORKED:
            for choice in choices:
                self._end_choice(resident, choice)

    def _end_choice(self, resident: Resident, choice: int) -> None:
        sequence = resident.choices.pop(choice, None)
        if sequence is not None:
            self._batch.remove(sequence)
            if not resident.choices:
                del self._residents[resident.id]

    def _forget(self, resident: Resident) -> None:
        for sequence in resident.sequences:
            self._batch.remove(sequence)
        del self._residents[resident.id]

    def _is_computed_here(self, sequence: Sequence) -> bool:
        return sequence.choice is not None or self._residents[sequence.attempt.id].local
