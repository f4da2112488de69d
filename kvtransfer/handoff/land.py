"""The lander's machine on a decode worker: from attach to the running batch, and out again.

    WAITING (for room) -> FETCHING -> VERIFIED (asks the lender) -> DECODING -> DONE
                              \\-> QUARANTINED -> DONE         aborted while a copy could still write

The commit rule: `JoinBatch` only when every block is copied, every checksum and generation agrees with the manifest,
and the lender either answered Released or is gone. Timers abort, and may ask for a fence; only the end of all copies
frees quarantined blocks. Time is given in; it owns no I/O.
"""

from math import inf

from common.types.attempt import Attempt
from common.types.handoff import FailureKind, Verdict
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Manifest
from common.types.timeouts import Timeouts
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
from kvtransfer.handoff.arrival import Arrival, LandingState
from kvtransfer.handoff.seen import SeenAttempts


class Lander:
    """All attempts of one decode worker. Every one attached ends with exactly one `FreeBlocks`."""

    def __init__(self, layout: str, timeouts: Timeouts) -> None:
        self._layout = layout
        self._timeouts = timeouts
        self._arrivals: dict[AttemptId, Arrival] = {}
        self._seen: SeenAttempts[LandingState] = SeenAttempts()

    def attach(
        self, attempt: Attempt, now: float, remaining_s: float, *, local: bool = False
    ) -> tuple[LanderAction, ...]:
        """A new attempt, ending a lower one of its request; raises `StaleAttempt` for one already seen."""
        lower = self._seen.newest(attempt.id.request_id)
        self._seen.admit(attempt.id)
        actions = self._abort(lower, None, now)
        state = LandingState.DECODING if local else LandingState.WAITING
        arrival = self._arrivals[attempt.id] = Arrival(attempt, state, now + remaining_s)
        if local:
            return (*actions, StartLocal(attempt.id))
        self._progress(arrival, now)
        return (*actions, ReserveBlocks(attempt.id))

    def reserved(
        self, id: AttemptId, blocks: tuple[int, ...], num_cached_blocks: int, now: float
    ) -> tuple[LanderAction, ...]:
        """Own blocks are set aside; the first `num_cached_blocks` of them hold their KV already."""
        arrival = self._in(id, LandingState.WAITING)
        if arrival is None:
            return ()
        arrival.state = LandingState.FETCHING
        arrival.blocks = blocks
        arrival.num_skip_blocks = num_cached_blocks
        self._progress(arrival, now)
        return (OpenFetch(id, num_cached_blocks),)

    def ready(
        self, id: AttemptId, first_block: int, refs: tuple[BlockRef, ...], now: float
    ) -> tuple[LanderAction, ...]:
        """The lender names blocks that are final. Repeats are harmless, contradictions end the attempt."""
        arrival = self._in(id, LandingState.FETCHING)
        if arrival is None:
            return ()
        pairs = arrival.announce(first_block, refs)
        if pairs is None:
            return self._abort(id, FailureKind.SOURCE_LOST, now)
        if not pairs:
            return ()
        arrival.num_copies += 1
        arrival.copies.add(arrival.num_copies)
        self._progress(arrival, now)
        return (CopyBlocks(id, arrival.num_copies, pairs),)

    def sealed(self, manifest: Manifest, now: float) -> tuple[LanderAction, ...]:
        """The manifest: what was announced must agree with it, what was not is copied now."""
        arrival = self._in(manifest.attempt, LandingState.FETCHING)
        if arrival is None or arrival.manifest is not None:
            return ()
        if not arrival.describes(manifest, self._layout):
            return self._abort(manifest.attempt, FailureKind.SOURCE_LOST, now)
        actions = self.ready(manifest.attempt, 0, manifest.blocks, now)
        if arrival.state is not LandingState.FETCHING:
            return actions
        arrival.manifest = manifest
        self._progress(arrival, now)
        return actions + self._verify(arrival)

    def renewed(self, id: AttemptId, now: float) -> None:
        """The lender lives and still computes: as long as it does, waiting for it is no lack of progress."""
        arrival = self._in(id, LandingState.FETCHING)
        if arrival is not None and arrival.manifest is None:
            self._progress(arrival, now)

    def copied(self, id: AttemptId, copy: int, ok: bool, now: float) -> tuple[LanderAction, ...]:
        """This copy is over and writes no more; `ok` when every checksum agreed."""
        arrival = self._arrivals.get(id)
        if arrival is None or copy not in arrival.copies:
            return ()
        arrival.copies.remove(copy)
        if arrival.state is LandingState.QUARANTINED:
            return () if arrival.copies else self._free(id)
        if not ok:
            return self._abort(id, FailureKind.SOURCE_LOST, now)
        self._progress(arrival, now)
        return self._verify(arrival)

    def verdict(self, id: AttemptId, verdict: Verdict | None, now: float) -> tuple[LanderAction, ...]:
        """The lender's answer to `Landed`; None when all tries went unanswered."""
        arrival = self._in(id, LandingState.VERIFIED)
        if arrival is None:
            return ()
        if verdict is Verdict.RELEASED:
            return self._commit(arrival)
        return self._abort(id, FailureKind.SOURCE_LOST, now)

    def source_lost(self, id: AttemptId, now: float) -> tuple[LanderAction, ...]:
        """The lender's process is gone. What is complete and verified needs it no more."""
        arrival = self._in(id, LandingState.VERIFIED)
        if arrival is not None:
            return self._commit(arrival)
        return self.refused(id, now)

    def refused(self, id: AttemptId, now: float) -> tuple[LanderAction, ...]:
        """The lender has no such loan (any more). Once asked, only its answer to `Landed` counts."""
        if self.fetching(id):
            return self._abort(id, FailureKind.SOURCE_LOST, now)
        return ()

    def drained(self, id: AttemptId, now: float) -> tuple[LanderAction, ...]:
        """The fence stands: nothing can write into this attempt's blocks any more."""
        return () if self._in(id, LandingState.QUARANTINED) is None else self._free(id)

    def finished(self, id: AttemptId, now: float) -> tuple[LanderAction, ...]:
        """The engine is done with the attempt, or refused it."""
        if self.state(id) in (LandingState.WAITING, LandingState.DECODING):
            return self._abort(id, None, now)
        return ()

    def cancel(self, id: AttemptId, now: float) -> tuple[LanderAction, ...]:
        """Ends this attempt or a lower one of its request, and refuses them if they arrive later."""
        newest = self._seen.newest(id.request_id)
        self._seen.bar(id, LandingState.DONE)
        if newest is None or newest.number > id.number:
            return ()
        return self._abort(newest, None, now)

    def tick(self, now: float) -> tuple[LanderAction, ...]:
        """Ends what has expired, and has fences raised around what stays in quarantine."""
        expired = [arrival for arrival in self._arrivals.values() if arrival.expires_at <= now]
        return tuple(action for arrival in expired for action in self._expire(arrival, now))

    def next_expiry(self) -> float | None:
        """When `tick` has something to do next."""
        earliest = min((arrival.expires_at for arrival in self._arrivals.values()), default=inf)
        return None if earliest == inf else earliest

    def state(self, id: AttemptId) -> LandingState | None:
        """Where an attempt stands; None when it is unknown."""
        arrival = self._arrivals.get(id)
        return self._seen.end(id) if arrival is None else arrival.state

    def fetching(self, id: AttemptId) -> bool:
        """Whether the loan is still needed: the fetcher renews its lease."""
        return self.state(id) in (LandingState.WAITING, LandingState.FETCHING)

    def _in(self, id: AttemptId, state: LandingState) -> Arrival | None:
        arrival = self._arrivals.get(id)
        return arrival if arrival is not None and arrival.state is state else None

    def _progress(self, arrival: Arrival, now: float) -> None:
        arrival.expires_at = min(arrival.deadline, now + self._timeouts.handoff_s)

    def _verify(self, arrival: Arrival) -> tuple[LanderAction, ...]:
        if arrival.manifest is None or arrival.copies:
            return ()
        arrival.state = LandingState.VERIFIED
        return (AskLanded(arrival.attempt.id),)

    def _commit(self, arrival: Arrival) -> tuple[LanderAction, ...]:
        if arrival.manifest is None or arrival.copies:
            raise ValueError(f"{arrival.attempt.id}: committed before its copy was complete")
        arrival.state = LandingState.DECODING
        arrival.expires_at = arrival.deadline
        return (JoinBatch(arrival.attempt.id, arrival.manifest),)

    def _expire(self, arrival: Arrival, now: float) -> tuple[LanderAction, ...]:
        if arrival.state is not LandingState.QUARANTINED:
            late = now >= arrival.deadline
            return self._abort(arrival.attempt.id, FailureKind.DEADLINE if late else FailureKind.TIMEOUT, now)
        overdue = now >= arrival.overdue_at
        arrival.expires_at = inf if overdue else arrival.overdue_at
        return (Overdue(arrival.attempt.id),) if overdue else (Fence(arrival.attempt.id),)

    def _abort(self, id: AttemptId | None, kind: FailureKind | None, now: float) -> tuple[LanderAction, ...]:
        arrival = None if id is None else self._arrivals.get(id)
        if id is None or arrival is None or arrival.state is LandingState.QUARANTINED:
            return ()
        report = () if kind is None else (Report(id, kind),)
        if not arrival.copies:
            return report + self._free(id)
        arrival.state = LandingState.QUARANTINED
        arrival.expires_at = now + self._timeouts.fence_s
        arrival.overdue_at = now + self._timeouts.quarantine_s
        return (*report, QuarantineBlocks(id))

    def _free(self, id: AttemptId) -> tuple[LanderAction, ...]:
        self._arrivals.pop(id).state = LandingState.DONE
        self._seen.bury(id, LandingState.DONE)
        return (FreeBlocks(id),)
