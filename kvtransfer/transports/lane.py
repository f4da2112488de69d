"""One thread that writes into the own pool for one connection. Owns the answer to "may anything still write?".

Knows nothing of what is copied or from where. A copy is in flight from the moment it is queued until its function has
returned in the thread; only then are its blocks safe to give away.
"""

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar

from common.types.ids import AttemptId
from common.types.kv import Pair
from kvtransfer.transports.contract import ChecksumMismatch, TransportFailed

FENCED = "the connection was fenced"
T = TypeVar("T")
Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Copy:
    """One fetch in progress: the thread moves `num_landed` on, the loop may ask it to stop."""

    def __init__(self, attempt: AttemptId, pairs: Sequence[Pair]) -> None:
        self.attempt = attempt
        self.pairs = pairs
        self.num_landed = 0
        self.stopped = False

    def check(self, checksums: Sequence[int]) -> ChecksumMismatch | None:
        """Counts the next blocks as landed, up to the first whose bytes are not what the lender named."""
        end = self.num_landed + len(checksums)
        if [pair.source.checksum for pair in self.pairs[self.num_landed : end]] == checksums:
            self.num_landed = end
            return None
        for checksum in checksums:
            source = self.pairs[self.num_landed].source
            if checksum != source.checksum:
                return ChecksumMismatch(self.num_landed, source)
            self.num_landed += 1
        return None


Outcome = TransportFailed | ChecksumMismatch | None
"""What went wrong, returned rather than raised: a traceback would keep views of pools alive."""


Place = Callable[[], None]
"""Puts the calling thread on the cores where a copy may run now."""


class Lane:
    """Runs copies one after the other on its own thread, which calls `place` before each of them.

    The thread is no executor's: of a hand-off's last copy its way there and back is a large part, and is waited for.
    """

    def __init__(self, name: str, place: Place = lambda: None) -> None:
        self._place = place
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()  # None: end
        self._thread = threading.Thread(target=_serve, args=(self._jobs,), name=name, daemon=True)
        self._thread.start()
        self._end = weakref.finalize(self, self._jobs.put, None)
        self._flying: dict[Copy, asyncio.Future[Outcome]] = {}
        self._reading: set[asyncio.Future[float]] = set()
        self._fenced = False

    def in_flight(self, attempt: AttemptId) -> int:
        return sum(copy.attempt == attempt for copy in self._flying)

    async def run(self, copy: Copy, work: Callable[[Copy], Outcome]) -> None:
        """Returns when the copy is done; raises what went wrong. Cancelled, it asks the copy to stop and leaves it."""
        if self._fenced:
            raise TransportFailed(FENCED)
        flight = self._submit(lambda: self._work(work, copy))
        self._flying[copy] = flight
        flight.add_done_callback(lambda _: self._land(copy))
        try:
            outcome = await asyncio.shield(flight)
        except asyncio.CancelledError:
            copy.stopped = True
            raise
        if isinstance(outcome, TransportFailed):
            reason = FENCED if self._fenced else outcome.reason
            raise TransportFailed(reason, frozenset(range(copy.num_landed)), refused=outcome.refused)
        if outcome is not None:
            raise outcome
        if copy.num_landed < len(copy.pairs):
            raise TransportFailed(FENCED, frozenset(range(copy.num_landed)))

    async def apart(self, work: Callable[[], float]) -> float:
        """Runs something that writes no pool in the same thread, between copies."""
        if self._fenced:
            raise TransportFailed(FENCED)
        reading = self._submit(work)
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            reading.add_done_callback(_hear_out)
            raise

    async def drained(self, attempt: AttemptId) -> None:
        while flying := [flight for copy, flight in self._flying.items() if copy.attempt == attempt]:
            await asyncio.wait(flying)

    async def fence(self) -> None:
        """Takes no more copies, asks those in flight to stop, and waits until the thread has left the last one."""
        self._fenced = True
        for copy in self._flying:
            copy.stopped = True
        while self._flying or self._reading:
            pending: list[asyncio.Future[Any]] = [*self._flying.values(), *self._reading]
            await asyncio.wait(pending)
        self._end()

    def _submit(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((work, loop, future))
        return future

    def _work(self, work: Callable[[Copy], Outcome], copy: Copy) -> Outcome:
        self._place()
        return work(copy)

    def _land(self, copy: Copy) -> None:
        error = self._flying.pop(copy).exception()
        if error is not None and copy.stopped:
            # Nobody waits for this copy any more, but a bug in it must not pass in silence.
            context = {"message": "a stopped copy failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)


def _serve(jobs: "SimpleQueue[Job | None]") -> None:
    """The thread's life. It keeps nothing of a job that is done: what it held may be memory of a pool."""
    while (job := jobs.get()) is not None:
        work, loop, future = job
        result, bug = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            bug = error
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, future, result, bug)
        del job, work, loop, future, result, bug


def _settle(future: "asyncio.Future[Any]", result: object, bug: BaseException | None) -> None:
    if future.cancelled():
        return
    if bug is None:
        future.set_result(result)
    else:
        future.set_exception(bug)


def _hear_out(reading: asyncio.Future[float]) -> None:
    """Nobody waits for this reading any more: whether its lender failed it does not matter, but a bug does."""
    error = reading.exception()
    if error is not None and not isinstance(error, TransportFailed):
        context = {"message": "an abandoned reading failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
