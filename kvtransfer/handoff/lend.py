"""The lender's machine on a prefill worker: which attempts are computed, lent, and how each loan ends.

    COMPUTING -> SEALED (lease) -> RELEASED | CANCELLED | EXPIRED

Freeing early is always safe: `landed` then answers Gone and the fetcher discards its copy. Time is given in; it owns
no I/O and never sees a block's bytes.
"""

from enum import Enum

from common.types.handoff import LoanEnd, Verdict
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Manifest
from common.types.timeouts import Timeouts
from kvtransfer.handoff.actions import Closed, Free, LenderAction
from kvtransfer.handoff.seen import SeenAttempts


class LoanState(Enum):
    """Where a live loan stands; ended ones are told by their `LoanEnd`."""

    COMPUTING = "computing"
    SEALED = "sealed"


class Loan:
    """One attempt's blocks as lent so far. While COMPUTING it expires at the request's deadline, then by its lease."""

    __slots__ = ("expires_at", "generations", "manifest", "refs")

    def __init__(self, expires_at: float) -> None:
        self.expires_at = expires_at
        self.refs: list[BlockRef] = []
        self.generations: dict[int, int] = {}
        self.manifest: Manifest | None = None

    @property
    def state(self) -> LoanState:
        return LoanState.COMPUTING if self.manifest is None else LoanState.SEALED


class Lender:
    """All loans of one prefill worker. Every loan opened ends with exactly one `Free` and one `Closed`."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._lease_s = timeouts.lease_s
        self._loans: dict[AttemptId, Loan] = {}
        self._seen: SeenAttempts[LoanEnd] = SeenAttempts()

    def open(self, id: AttemptId, now: float, remaining_s: float) -> tuple[LenderAction, ...]:
        """Begins an attempt, ending a lower one of its request; raises `StaleAttempt` for one already seen."""
        lower = self._seen.newest(id.request_id)
        self._seen.admit(id)
        self._loans[id] = Loan(now + remaining_s)
        return self._end(lower, LoanEnd.CANCELLED)

    def ready(self, id: AttemptId, first_block: int, refs: tuple[BlockRef, ...]) -> None:
        """These blocks are final. Ignored when the loan has ended meanwhile."""
        loan = self._loans.get(id)
        if loan is None:
            return
        if first_block != len(loan.refs) or loan.manifest is not None:
            raise ValueError(f"{id}: block {first_block} became ready after {len(loan.refs)} blocks")
        loan.refs.extend(refs)
        loan.generations.update((ref.block, ref.generation) for ref in refs)

    def seal(self, manifest: Manifest, now: float) -> bool:
        """All blocks are final: the lease begins. False when the loan has ended meanwhile."""
        loan = self._loans.get(manifest.attempt)
        if loan is None:
            return False
        num_ready = len(loan.refs)
        if manifest.blocks[:num_ready] != tuple(loan.refs):
            raise ValueError(f"{manifest.attempt}: sealed other blocks than became ready")
        self.ready(manifest.attempt, num_ready, manifest.blocks[num_ready:])
        loan.manifest = manifest
        loan.expires_at = now + self._lease_s
        return True

    def renew(self, id: AttemptId, now: float) -> bool:
        """Keeps the lease alive; false when the loan is gone."""
        loan = self._loans.get(id)
        if loan is None:
            return False
        if loan.state is LoanState.SEALED:
            loan.expires_at = now + self._lease_s
        return True

    def landed(self, id: AttemptId) -> tuple[Verdict, tuple[LenderAction, ...]]:
        """Compare-and-set SEALED -> RELEASED; the same answer when repeated."""
        loan = self._loans.get(id)
        if loan is not None and loan.state is LoanState.SEALED:
            return Verdict.RELEASED, self._end(id, LoanEnd.RELEASED)
        released = self._seen.end(id) is LoanEnd.RELEASED
        return (Verdict.RELEASED if released else Verdict.GONE), ()

    def nothing_lent(self, id: AttemptId) -> tuple[LenderAction, ...]:
        """The engine is done with an attempt nobody will fetch, or refused it."""
        return self._end(id, LoanEnd.NOTHING_LENT)

    def cancel(self, id: AttemptId) -> tuple[LenderAction, ...]:
        """Ends this attempt or a lower one of its request, and refuses them if they arrive later."""
        newest = self._seen.newest(id.request_id)
        self._seen.bar(id, LoanEnd.CANCELLED)
        if newest is None or newest.number > id.number:
            return ()
        return self._end(newest, LoanEnd.CANCELLED)

    def tick(self, now: float) -> tuple[LenderAction, ...]:
        """Ends what has expired."""
        expired = [x for x, loan in self._loans.items() if loan.expires_at <= now]
        return tuple(action for x in expired for action in self._end(x, LoanEnd.EXPIRED))

    def next_expiry(self) -> float | None:
        """When `tick` has something to do next."""
        return min((loan.expires_at for loan in self._loans.values()), default=None)

    def loan(self, id: AttemptId) -> Loan | None:
        """A live loan, to read only."""
        return self._loans.get(id)

    def lends(self, id: AttemptId, block: int, generation: int) -> bool:
        """Whether a peer may read this block for this attempt."""
        loan = self._loans.get(id)
        return loan is not None and loan.generations.get(block) == generation

    def _end(self, id: AttemptId | None, end: LoanEnd) -> tuple[LenderAction, ...]:
        if id is None or self._loans.pop(id, None) is None:
            return ()
        self._seen.bury(id, end)
        return Free(id), Closed(id, end)
