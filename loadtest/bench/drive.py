"""Sends what was planned: in the open at its times, or closed, as soon as there is room. Owns a run's tasks.

A request is planned one ahead, before the wait for its time: making a long prompt does not make it late.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from loadtest.bench.record import Planned, Record
from loadtest.bench.target import Target


@dataclass(slots=True)
class Progress:
    """What a run has come to so far; read by whoever shows it."""

    begin_s: float = 0.0
    records: list[Record] = field(default_factory=list)
    num_running: int = 0


class Drive:
    """One run. `run` returns when all was answered; `stop` begins nothing more and ends what is running."""

    def __init__(self, target: Target, planned: Iterator[Planned], concurrency: int | None, duration_s: float) -> None:
        self.progress = Progress()
        self._target, self._planned = target, planned
        self._concurrency, self._duration_s = concurrency, duration_s
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    @property
    def stopped(self) -> bool:
        return self._stopping.is_set()

    async def run(self, *, open_loop: bool) -> None:
        self.progress.begin_s = time.perf_counter()
        work = asyncio.create_task(self._open() if open_loop else self._closed())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            if not work.done():
                work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work

    async def _open(self) -> None:
        """At its time each, however many are running; with a limit, those above it wait here."""
        room = asyncio.Semaphore(self._concurrency) if self._concurrency else contextlib.nullcontext()

        async def send(planned: Planned, due_s: float) -> None:
            async with room:
                await self._send(planned, due_s)

        async with asyncio.TaskGroup() as tasks:
            for planned in self._planned:
                due_s = self.progress.begin_s + planned.at_s
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                tasks.create_task(send(planned, due_s))

    async def _closed(self) -> None:
        """So many users, each with the next request as soon as its last was answered."""
        ends_s = self.progress.begin_s + self._duration_s if self._duration_s else float("inf")

        async def user() -> None:
            while time.perf_counter() < ends_s and (planned := next(self._planned, None)) is not None:
                await self._send(planned, time.perf_counter())

        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._concurrency or 1):
                tasks.create_task(user())

    async def _send(self, planned: Planned, due_s: float) -> None:
        record = Record(due_s, planned.num_input)
        self.progress.records.append(record)
        self.progress.num_running += 1
        try:
            await self._target.send(planned, record)
        finally:
            self.progress.num_running -= 1
