"""Owns the lender's machine on the event loop: engine events and peers' messages in, answers and freed blocks out.

Knows nothing of gRPC: services call it and read streams of events from it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from common.engine.messages import (
    BlocksReady,
    Command,
    Drop,
    Event,
    FirstTokens,
    PromptScores,
    Refused,
    Sealed,
    Started,
    Submit,
)
from common.net.alarm import Alarm
from common.types.attempt import Attempt
from common.types.errors import BatonError, StaleAttempt, Unavailable
from common.types.handoff import Verdict
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Manifest
from common.types.timeouts import Timeouts
from kvtransfer.handoff.actions import Closed, Free, LenderAction
from kvtransfer.handoff.lend import Lender

RunEvent = Started | PromptScores | FirstTokens | Sealed | Closed


@dataclass(slots=True)
class PrefillRun:
    """One attempt as the router's call and the fetcher's stream see it."""

    id: AttemptId
    router_epoch: int
    lend: bool
    events: asyncio.Queue[RunEvent | BatonError] = field(default_factory=asyncio.Queue)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    facts: dict[str, object] = field(default_factory=dict)


class Lending:
    """All attempts of this worker, from submission until their loan ends."""

    def __init__(self, post: Callable[[Command], None], timeouts: Timeouts) -> None:
        self._post = post
        self._lender = Lender(timeouts)
        self._runs: dict[AttemptId, PrefillRun] = {}
        self._alarm = Alarm(self._expire)
        self.draining = False
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def num_runs(self) -> int:
        return len(self._runs)

    def open(self, attempt: Attempt, remaining_s: float, *, lend: bool, router_epoch: int) -> PrefillRun:
        """Starts an attempt; raises `StaleAttempt` when a later or equal one was seen."""
        if self.draining:
            raise Unavailable("this worker is draining", "prefill")
        actions = self._lender.open(attempt.id, self._now(), remaining_s)
        run = self._runs[attempt.id] = PrefillRun(attempt.id, router_epoch, lend)
        self.idle.clear()
        self._perform(actions)
        self._post(Submit(attempt, lend))
        return run

    def cancel(self, id: AttemptId) -> None:
        """The router's call ended: whatever is still computed or lent is given back."""
        self._perform(self._lender.cancel(id))
        self._forget(id)

    def cancel_router(self, router_epoch: int) -> None:
        """A router is gone; so are its attempts."""
        for run in [run for run in self._runs.values() if run.router_epoch == router_epoch]:
            run.events.put_nowait(Unavailable("the router is gone", "prefill"))
            self.cancel(run.id)

    def renew(self, id: AttemptId) -> bool:
        alive = self._lender.renew(id, self._now())
        self._alarm.set(self._lender.next_expiry())
        return alive

    def landed(self, id: AttemptId) -> Verdict:
        """What a yes brings about waits until it is on its way: the engine would get in before it."""
        verdict, actions = self._lender.landed(id)
        if actions:
            asyncio.get_running_loop().call_soon(self._perform, actions)
        return verdict

    def lends(self, id: AttemptId, block: int, generation: int) -> bool:
        return self._lender.lends(id, block, generation)

    async def follow(self, id: AttemptId, num_skip_blocks: int) -> AsyncIterator[tuple[int, list[BlockRef]] | Manifest]:
        """Blocks as they become ready, each once, then the manifest; raises `StaleAttempt` when the loan is gone."""
        cursor = num_skip_blocks
        while True:
            loan, run = self._lender.loan(id), self._runs.get(id)
            if loan is None or run is None:
                raise StaleAttempt("the loan is gone")
            run.changed.clear()
            if loan.manifest is not None:  # it names the blocks that have not been sent yet, too
                yield loan.manifest
                return
            if cursor < len(loan.refs):
                fresh = list(loan.refs[cursor:])
                yield cursor, fresh
                cursor += len(fresh)
                continue
            await run.changed.wait()

    def on_events(self, events: tuple[Event, ...]) -> None:
        """What one engine step brought; called on the event loop. Fetchers come first: a hand-off waits for them."""
        for event in events:
            match event:
                case BlocksReady(id, first_block, refs):
                    if (run := self._runs.get(id)) is not None:
                        self._lender.ready(id, first_block, refs)
                        run.changed.set()
                case Sealed(manifest):
                    self._seal(manifest)
        for event in events:
            match event:
                case Sealed(manifest):
                    self._emit(manifest.attempt, event)
                case Refused(id, error):
                    self._emit(id, error)
                    self._perform(self._lender.nothing_lent(id))
                case FirstTokens(id):
                    self._emit(id, event)
                    if (run := self._runs.get(id)) is not None and not run.lend:
                        self._perform(self._lender.nothing_lent(id))
                case Started(id) | PromptScores(id):
                    self._emit(id, event)
                case BlocksReady():
                    pass
                case _:
                    raise TypeError(f"a prefill engine does not send {type(event).__name__}")

    def _seal(self, manifest: Manifest) -> None:
        run = self._runs.get(manifest.attempt)
        if run is not None and self._lender.seal(manifest, self._now()):
            run.changed.set()
            self._alarm.set(self._lender.next_expiry())

    def _emit(self, id: AttemptId, event: RunEvent | BatonError) -> None:
        run = self._runs.get(id)
        if run is not None:
            run.events.put_nowait(event)

    def _perform(self, actions: tuple[LenderAction, ...]) -> None:
        for action in actions:
            match action:
                case Free(id):
                    self._post(Drop(id))
                case Closed(id):
                    self._emit(id, action)
                    self._forget(id)
        self._alarm.set(self._lender.next_expiry())

    def _forget(self, id: AttemptId) -> None:
        run = self._runs.pop(id, None)
        if run is not None:
            run.changed.set()
        if not self._runs:
            self.idle.set()

    def _expire(self, now: float) -> None:
        self._perform(self._lender.tick(now))

    @staticmethod
    def _now() -> float:
        return time.monotonic()
