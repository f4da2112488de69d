"""Owns the lander's machine on the event loop: performs its actions and tells it what came of them.

Engine commands go to the engine, copies to the puller, messages to the lender's worker; knows nothing of routers.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from common.engine.messages import Command, Drop, Join, Quarantine, Reserve, Reserved
from common.types.attempt import Attempt
from common.types.ids import AttemptId
from common.types.kv import Manifest
from common.types.timeouts import Timeouts
from decode_worker.lenders import LenderLost, LenderRefused, Lenders, LoanSource
from common.net.alarm import Alarm
from common.net.background import Background
from kvtransfer.handoff.actions import (
    AskLanded,
    CopyBlocks,
    FailureKind,
    Fence,
    FreeBlocks,
    JoinBatch,
    LanderAction,
    OpenFetch,
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
    source: LoanSource
    tasks: Background = field(default_factory=Background)
    num_cached_blocks: int = 0
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
        timeouts: Timeouts,
        on_report: Callable[[AttemptId, FailureKind], None],
    ) -> None:
        self._post = post
        self._lenders = lenders
        self._timeouts = timeouts
        self._on_report = on_report
        self._lander = Lander(timeouts)
        self._journeys: dict[AttemptId, Journey] = {}
        self._alarm = Alarm(self._expire)

    def attach(self, attempt: Attempt, source: LoanSource, remaining_s: float) -> None:
        """A new attempt; raises `StaleAttempt` when a later or equal one was seen."""
        actions = self._lander.attach(attempt.id, self._now(), remaining_s)
        self._journeys[attempt.id] = Journey(attempt, source)
        self._journeys[attempt.id].tasks.spawn(self._renew(attempt.id))
        self._perform(actions)

    def cancel(self, id: AttemptId) -> None:
        self._perform(self._lander.cancel(id, self._now()))

    def finished(self, id: AttemptId) -> None:
        self._perform(self._lander.finished(id, self._now()))

    def reserved(self, event: Reserved) -> None:
        journey = self._journeys.get(event.id)
        if journey is not None:
            journey.num_cached_blocks = event.num_cached_blocks
        self._perform(self._lander.reserved(event.id, event.blocks, event.num_cached_blocks, self._now()))

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
            case OpenFetch(id, num_skip_blocks):
                self._journeys[id].tasks.spawn(self._follow(id, num_skip_blocks))
            case CopyBlocks(id):
                self._journeys[id].tasks.spawn(self._copy(action))
            case AskLanded(id):
                self._journeys[id].tasks.spawn(self._ask_landed(id))
            case JoinBatch(id, manifest):
                self._post(Join(id, manifest.first_tokens))
            case QuarantineBlocks(id):
                self._post(Quarantine(id))
            case Fence(id):
                self._journeys[id].tasks.spawn(self._fence(id))
            case FreeBlocks(id):
                self._post(Drop(id))
                self._forget(id)
            case Report(id, kind):
                self._on_report(id, kind)

    async def _follow(self, id: AttemptId, num_skip_blocks: int) -> None:
        """Reads the lender's stream until the manifest."""
        try:
            async for update in self._lenders.fetch(self._journeys[id].source, id, num_skip_blocks):
                if isinstance(update, Manifest):
                    self._journeys[id].sealed_at = self._now()
                    self._perform(self._lander.sealed(update, self._now()))
                    return
                self._perform(self._lander.ready(id, update[0], tuple(update[1]), self._now()))
        except LenderLost:
            self._perform(self._lander.source_lost(id, self._now()))
        except LenderRefused:
            self._perform(self._lander.refused(id, self._now()))

    async def _copy(self, action: CopyBlocks) -> None:
        journey = self._journeys[action.id]
        report = await self._lenders.copy(journey.source, action.id, action.pairs)
        if report is not None:
            journey.num_bytes += report.num_bytes
            journey.copy_s += report.seconds
            journey.transport = report.transport
        self._perform(self._lander.copied(action.id, action.copy, report is not None, self._now()))

    async def _ask_landed(self, id: AttemptId) -> None:
        """Tells the lender, up to `landed_tries` times: an unanswered question is not a yes."""
        source = self._journeys[id].source
        try:
            verdict = await self._lenders.landed(source, id)
        except LenderLost:
            self._perform(self._lander.source_lost(id, self._now()))
        else:
            self._perform(self._lander.verdict(id, verdict, self._now()))

    async def _renew(self, id: AttemptId) -> None:
        """Keeps the lease alive while blocks are waited for and copied; the fetch itself notices a lost lender."""
        source = self._journeys[id].source
        while id in self._journeys and self._lander.fetching(id):
            await asyncio.sleep(self._timeouts.renew_s)
            await self._lenders.renew(source, id)

    async def _fence(self, id: AttemptId) -> None:
        await self._lenders.fence(self._journeys[id].source, id)
        self._perform(self._lander.drained(id, self._now()))

    def _forget(self, id: AttemptId) -> None:
        journey = self._journeys.pop(id, None)
        if journey is not None:
            journey.tasks.cancel()

    def _expire(self, now: float) -> None:
        self._perform(self._lander.tick(now))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

