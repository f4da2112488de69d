"""One copy over the in-process transport: which of its frames are still in the air, and what they may still write."""

import asyncio
from collections.abc import Sequence

import numpy as np

from common.types.ids import AttemptId
from common.types.kv import Pair
from kvtransfer.transports.contract import Bytes, ChecksumMismatch, Digest, TransportFailed
from kvtransfer.transports.faults import Frame


class Flight:
    """Closed once no frame of it can write any more; frames that arrive later fall on the floor."""

    def __init__(self, attempt: AttemptId, pairs: Sequence[Pair], own: Bytes, digest: Digest) -> None:
        self.attempt = attempt
        self.closed = False
        self._pairs = pairs
        self._own = own
        self._digest = digest
        self._landed: set[int] = set()
        self._num_in_air = 0
        self._last_arrival = 0.0
        self._refusal = ""
        self._failure: TransportFailed | ChecksumMismatch | None = None
        self._over = asyncio.Event()

    def launch(self, num_frames: int, now: float, refusal: str) -> None:
        """So many frames are under way; `refusal` says why the lender does not send the rest."""
        self._num_in_air = num_frames
        self._last_arrival = now
        self._refusal = refusal
        self._settle()

    def arrive(self, frame: Frame, now: float) -> None:
        """A frame is here: written where it belongs, unless that was done or the copy is closed."""
        self._num_in_air -= 1
        if self.closed or frame.position in self._landed:
            self._settle()
            return
        self._last_arrival = now
        pair = self._pairs[frame.position]
        block = self._own[pair.target]
        if len(frame.data) != len(block):
            self.cut("the lender sent something else than was asked for")
            return
        block[:] = np.frombuffer(frame.data, np.uint8)
        if self._digest(block) != pair.source.checksum:
            self._close(ChecksumMismatch(frame.position, pair.source))
            return
        self._landed.add(frame.position)
        self._settle()

    def check_stall(self, now: float, stall_s: float) -> None:
        """Gives up when nothing arrived for too long."""
        if now - self._last_arrival >= stall_s:
            self.cut("the lender stopped sending")

    def cut(self, reason: str, refused: bool = False) -> None:
        """Nothing of this copy writes from here on."""
        self._close(TransportFailed(reason, frozenset(self._landed), refused=refused))

    async def result(self) -> None:
        await self._over.wait()
        if self._failure is not None:
            raise self._failure

    async def drained(self) -> None:
        await self._over.wait()

    def _settle(self) -> None:
        if len(self._landed) == len(self._pairs):
            self._close(None)
        elif not self._num_in_air:
            self.cut(self._refusal or "the lender stopped sending", refused=bool(self._refusal))

    def _close(self, failure: TransportFailed | ChecksumMismatch | None) -> None:
        if not self.closed:
            self.closed = True
            self._failure = failure
            self._over.set()
