"""Owns the lander's machine on the event loop: performs its actions and tells it what came of them.

Engine commands go to the engine, copies to the puller, messages to the lender's worker; knows nothing of routers.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from common.engine.messages import Command, Drop, Join, Quarantine, Reserve, Reserved, SubmitLocal
from common.net.alarm import Alarm
from common.net.background import Background
from common.types.attempt import Attempt
from common.types.handoff import FailureKind
from common.types.ids import AttemptId
from common.types.kv import KVLayout, Manifest
from common.types.timeouts import Timeouts
from decode_worker.lenders import LenderLost, LenderRefused, Lenders, LoanSource
from kvtransfer.handoff.actions import (
    AskLanded,
    CopyBlocks,
    Fence,
    FreeBlocks,
    JoinBatch,
    LanderAction,
    OpenFetch,
    Overdue,
    QuarantineBlocks,
    Report,
    ReserveBlocks,
    StartLocal,
)
from kvtransfer.handoff.land import Lander


@dataclass(slots=True)
class Journey:
    """What one hand-off did so far: its tasks, and the figures the router is told."""

    attempt: Attempt
    source: LoanSource | None
    tasks: Background = field(default_factory=Background)
    num_cached_tokens: int = 0
    num_bytes: int = 0
    copy_s: float = 0.0
    transport: str = ""
    sealed_at: float = 0.0


class Landing:
    """All attempts whose KV is on its way here, or arrived."""

    def __init__(
        self,
        post: Callable[[Command], None],
        lenders: Lenders,
        layout: KVLayout,
        timeouts: Timeouts,
        on_report: Callable[[AttemptId, FailureKind], None],
        on_overdue: Callable[[], None],
    ) -> None:
        self._post = post
        self._lenders = lenders
        self._timeouts = timeouts
        self._on_report = on_report
        self._on_overdue = on_overdue
        self._block_tokens = layout.block_tokens
        self._lander = Lander(layout.fingerprint, timeouts)
        self._journeys: dict[AttemptId, Journey] = {}
        self._alarm = Alarm(self._expire)
        self._meetings = Background()

    def meet(self, sources: tuple[LoanSource, ...]) -> None:
        """Connects to these lenders, and measures how fast they can be read, before they are needed."""
        for source in sources:
            self._meetings.spawn(self._lenders.meet(source))

    async def close(self) -> None:
        await self._meetings.close()

    def attach(self, attempt: Attempt, source: LoanSource | None, remaining_s: float) -> None:
        """A new attempt, prefilled here when nobody lends it; raises `StaleAttempt` for one already seen."""
        actions = self._lander.attach(attempt, self._now(), remaining_s, local=source is None)
        journey = self._journeys[attempt.id] = Journey(attempt, source)
        if source is not None:
            journey.tasks.spawn(self._renew(attempt.id, source))
        self._perform(actions)

    def cancel(self, id: AttemptId) -> None:
        self._perform(self._lander.cancel(id, self._now()))

    def finished(self, id: AttemptId) -> None:
        self._perform(self._lander.finished(id, self._now()))

    def reserved(self, event: Reserved) -> None:
        journey = self._journeys.get(event.id)
        if journey is not None:
            journey.num_cached_tokens = event.num_cached_blocks * self._block_tokens
        self._perform(self._lander.reserved(event.id, event.blocks, event.num_cached_blocks, self._now()))

    def started(self, id: AttemptId, num_cached_tokens: int) -> None:
        """A local prefill began, with this much found in the own cache."""
        journey = self._journeys.get(id)
        if journey is not None:
            journey.num_cached_tokens = num_cached_tokens

    def journey(self, id: AttemptId) -> Journey | None:
        return self._journeys.get(id)

    def _perform(self, actions: tuple[LanderAction, ...]) -> None:
        for action in actions:
            self._act(action)
        self._alarm.set(self._lander.next_expiry())

    def _act(self, action: LanderAction) -> None:
        match action:
            case ReserveBlocks(id):
                self._post(Reserve(self._journeys[id].attempt))
            case StartLocal(id):
                self._post(SubmitLocal(self._journeys[id].attempt))
            case OpenFetch(id, num_skip_blocks):
                self._journeys[id].tasks.spawn(self._follow(id, self._source(id), num_skip_blocks))
            case CopyBlocks(id):
                self._journeys[id].tasks.spawn(self._copy(action, self._source(id)))
            case AskLanded(id):
                self._journeys[id].tasks.spawn(self._ask_landed(id, self._source(id)))
            case JoinBatch(id, manifest):
                self._post(Join(id, manifest.first_tokens))
            case QuarantineBlocks(id):
                self._post(Quarantine(id))
            case Fence(id):
                self._journeys[id].tasks.spawn(self._fence(id, self._source(id)))
            case Overdue(id):
                self._on_overdue()
            case FreeBlocks(id):
                self._post(Drop(id))
                self._forget(id)
            case Report(id, kind):
                self._on_report(id, kind)

    async def _follow(self, id: AttemptId, source: LoanSource, num_skip_blocks: int) -> None:
        """Reads the lender's stream until the manifest."""
        try:
            async for update in self._lenders.fetch(source, id, num_skip_blocks):
                if isinstance(update, Manifest):
                    self._journeys[id].sealed_at = self._now()
                    self._perform(self._lander.sealed(update, self._now()))
                    return
                first_block, refs = update
                self._perform(self._lander.ready(id, first_block, refs, self._now()))
        except LenderLost:
            await self._lost(id, source)
        except LenderRefused:
            self._perform(self._lander.refused(id, self._now()))

    async def _copy(self, action: CopyBlocks, source: LoanSource) -> None:
        report = await self._lenders.copy(source, action.id, action.pairs)
        journey = self._journeys.get(action.id)
        if report is not None and journey is not None:
            journey.num_bytes += report.num_bytes
            journey.copy_s += report.seconds
            journey.transport = report.transport
        self._perform(self._lander.copied(action.id, action.copy, report is not None, self._now()))

    async def _ask_landed(self, id: AttemptId, source: LoanSource) -> None:
        """An unanswered question is not a yes; a lost lender can no longer take its blocks back."""
        try:
            verdict = await self._lenders.landed(source, id)
        except LenderLost:
            await self._lost(id, source)
        else:
            self._perform(self._lander.verdict(id, verdict, self._now()))

    async def _renew(self, id: AttemptId, source: LoanSource) -> None:
        """Keeps the lease alive while blocks are waited for and copied. A lender silent for `dead_s` will not lend:
        it is frozen or cut off, which its stream does not tell.
        """
        renew_s = self._timeouts.renew_s
        patience_s = max(renew_s, self._timeouts.dead_s - renew_s)
        while self._lander.fetching(id):
            await asyncio.sleep(renew_s)
            stands = await self._lenders.renew(source, id, patience_s)
            if stands:
                self._lander.renewed(id, self._now())
            elif stands is False:
                self._perform(self._lander.refused(id, self._now()))

    async def _fence(self, id: AttemptId, source: LoanSource) -> None:
        await self._lenders.fence(source, id)
        self._perform(self._lander.drained(id, self._now()))

    async def _lost(self, id: AttemptId, source: LoanSource) -> None:
        self._perform(self._lander.source_lost(id, self._now()))
        await self._lenders.forget(source)

    def _source(self, id: AttemptId) -> LoanSource:
        source = self._journeys[id].source
        if source is None:
            raise ValueError(f"{id} has no lender")
        return source

    def _forget(self, id: AttemptId) -> None:
        journey = self._journeys.pop(id, None)
        if journey is not None:
            journey.tasks.cancel()

    def _expire(self, now: float) -> None:
        self._perform(self._lander.tick(now))

    @staticmethod
    def _now() -> float:
        return time.monotonic()
