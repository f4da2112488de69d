"""One router's session: which attempts came over it, and what waits to be sent. Knows nothing of gRPC.

Rows of several steps melt into one frame while the router gives no credit, as many as a frame may have, so a slow
router costs memory only for as long as `stalled_reader_s`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from common.net.wire import MAX_ROWS, MAX_SCORES
from common.types.errors import Cancelled
from common.types.frame import Frame
from common.types.handoff import FailureKind
from common.types.ids import AttemptId
from common.types.sampling import SampledToken


@dataclass(frozen=True, slots=True)
class JoinedBatch:
    """An attempt joined the running batch; what its hand-off cost."""

    stream: int
    num_cached_tokens: int
    num_bytes: int
    transport: str
    exposed_s: float
    copy_s: float


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """An attempt ended without an answer."""

    stream: int
    kind: FailureKind
    detail: str


Outgoing = Frame | JoinedBatch | AttemptLost


class RouterSession:
    """Attempts of one session, and its outgoing messages in order."""

    def __init__(self, router_epoch: int, num_frames: int, stalled_reader_s: float) -> None:
        self.router_epoch = router_epoch
        self.streams: dict[int, AttemptId] = {}
        self._credit = num_frames
        self._stalled_reader_s = stalled_reader_s
        self._outgoing: list[Outgoing] = []
        self._changed = asyncio.Event()
        self._closed: Cancelled | None = None
        self._last_word: Cancelled | None = None

    def add_credit(self, num_frames: int) -> None:
        self._credit += num_frames
        self._changed.set()

    def send_row(self, stream: int, token: SampledToken) -> None:
        """Adds to the open frame; `flush` lets it go."""
        self._open_frame(1).add(stream, token)

    def send_rows(
        self, streams: Sequence[int], choices: Sequence[int], indices: Sequence[int], token_ids: Sequence[int]
    ) -> None:
        """The same for many that go on, in columns."""
        self._open_frame(len(streams)).extend(streams, choices, indices, token_ids)

    def send(self, message: JoinedBatch | AttemptLost) -> None:
        self._outgoing.append(message)
        self._changed.set()

    def flush(self) -> None:
        self._changed.set()

    def close(self, reason: str) -> None:
        """Ends `next` with an error."""
        self._closed = Cancelled(reason)
        self._changed.set()

    def finish(self, reason: str) -> None:
        """The same, once all that waits has been sent."""
        self._last_word = Cancelled(reason)
        self._changed.set()

    async def next(self) -> Outgoing:
        """The next message the router has room for; raises `Cancelled` when it stopped reading."""
        cut_at: float | None = None
        while True:
            if self._closed is not None:
                raise self._closed
            if self._outgoing and self._credit > 0:
                self._credit -= 1
                return self._outgoing.pop(0)
            if self._last_word is not None and not self._outgoing:
                raise self._last_word
            self._changed.clear()
            if not self._outgoing:
                await self._changed.wait()
                continue
            if cut_at is None:
                cut_at = asyncio.get_running_loop().time() + self._stalled_reader_s
            try:
                async with asyncio.timeout_at(cut_at):
                    await self._changed.wait()
            except TimeoutError:
                raise Cancelled("the router stopped reading") from None

    def _open_frame(self, num_rows: int) -> Frame:
        """With room for so many rows."""
        last = self._outgoing[-1] if self._outgoing else None
        if isinstance(last, Frame) and len(last) + num_rows <= MAX_ROWS and last.num_scores < MAX_SCORES:
            return last
        self._outgoing.append(fresh := Frame())
        return fresh
