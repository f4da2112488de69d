"""Fetches blocks over a lender's fastest connection, and goes on over the next one when it breaks.

Owns the answer to "may anything still write into the own pool?" for a whole worker; `lines.py` owns the connections.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence

from common.types.ids import AttemptId
from common.types.kv import Pair
from common.types.member import FetchTotals
from kvtransfer.fetched import Fetched
from kvtransfer.lines import Connect, Endpoint, Lines
from kvtransfer.probe import Warn
from kvtransfer.transports.contract import ChecksumMismatch, FetchingTransport, FetchReport, TransportFailed
from kvtransfer.transports.pools import Pool
from kvtransfer.transports.table import connect, usable

__all__ = ["ChecksumMismatch", "Endpoint", "FetchReport", "Puller", "TransportFailed"]

MAX_TRIES = 4
FENCE_GRACE_S = 0.25
SPEED_MEMORY = 0.8


class Puller:
    """Everything that ever writes into the own pool from outside goes through here."""

    def __init__(
        self,
        own: Pool,
        epoch: int,
        *,
        transports: Sequence[str] = ("shm", "tcp"),
        stall_s: float = 3.0,
        warn: Warn = lambda _: None,
        connect: Connect = connect,
    ) -> None:
        self._own = own
        self._lines = Lines(own, epoch, usable(transports, own), connect, stall_s=stall_s, warn=warn)
        self._bytes_per_s = 0.0
        self._fetched = Fetched()

    @property
    def bytes_per_s(self) -> float:
        """What hand-offs into this worker bring per second: measured at first, then a moving average."""
        return self._bytes_per_s

    @property
    def totals(self) -> FetchTotals:
        """All fetches since the start."""
        return self._fetched.totals()

    async def meet(self, lender: Endpoint) -> None:
        """Connects and measures ahead of the first fetch; that there is no connection is for a fetch to say."""
        await self._lines.reach(lender)

    async def fetch(self, lender: Endpoint, attempt: AttemptId, pairs: Sequence[Pair]) -> FetchReport:
        """Raises `TransportFailed` or `ChecksumMismatch` once nothing of this fetch can write any more."""
        left: Sequence[int] = range(len(pairs))
        reason = ""
        for _ in range(MAX_TRIES):
            line = await self._lines.reach(lender)
            if not line.ranked:
                reason = line.reason
                break
            best = line.ranked[0]
            self._bytes_per_s = self._bytes_per_s or best.bytes_per_s
            line.num_fetches += 1
            started = time.perf_counter()
            try:
                await best.transport.fetch(attempt, [pairs[position] for position in left])
            except ChecksumMismatch as mismatch:
                self._fetched.mismatch()
                raise ChecksumMismatch(left[mismatch.position], mismatch.source) from None
            except TransportFailed as failure:
                reason = failure.reason
                left = [position for place, position in enumerate(left) if place not in failure.landed]
                if failure.refused:
                    break
                self._lines.retire(line, best.transport, reason)
            else:
                return self._report(len(pairs), len(left), time.perf_counter() - started, best.transport.name)
            finally:
                line.num_fetches -= 1
        self._fetched.failed()
        raise TransportFailed(reason, frozenset(range(len(pairs))) - frozenset(left))

    def in_flight(self, attempt: AttemptId) -> int:
        """Number of copies that may still write into this attempt's blocks."""
        return sum(transport.in_flight(attempt) for transport in self._lines.transports())

    async def drained(self, attempt: AttemptId) -> None:
        """Returns once no copy of this attempt is in flight."""
        while flying := self._flying(attempt):
            for transport in flying:
                await transport.drained(attempt)

    async def fence(self, lender: Endpoint, attempt: AttemptId | None = None) -> None:
        """Returns once no copy of this attempt, or of any from this lender, can write here any more.

        An attempt's stopped copy usually ends by itself within a block. One that does not hangs on its lender: then
        that connection is ended. Other attempts' copies over an ended connection go on over a new one.
        """
        if attempt is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FENCE_GRACE_S):
                    await self.drained(attempt)
        ended = self._lines.transports(lender) if attempt is None else self._flying(attempt)
        if ended:
            self._lines.drop(lender)
        for transport in ended:
            await self._lines.end(transport)

    async def forget(self, lender: Endpoint) -> None:
        """The lender is gone: its connections are ended."""
        await self._lines.forget(lender)

    async def close(self) -> None:
        await self._lines.close()

    def _flying(self, attempt: AttemptId) -> list[FetchingTransport]:
        return [transport for transport in self._lines.transports() if transport.in_flight(attempt)]

    def _report(self, num_blocks: int, num_carried: int, seconds: float, transport: str) -> FetchReport:
        if num_carried and seconds > 0:
            speed = num_carried * self._own.block_bytes / seconds
            self._bytes_per_s = SPEED_MEMORY * self._bytes_per_s + (1 - SPEED_MEMORY) * speed
        self._fetched.add(transport, num_carried * self._own.block_bytes, seconds)
        return FetchReport(num_blocks * self._own.block_bytes, seconds, transport)
