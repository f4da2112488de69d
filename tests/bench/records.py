"""Records made by hand, and a target that answers on paper."""

import asyncio
from collections.abc import Callable

from loadtest.bench.record import Planned, Record
from loadtest.bench.target import Served


async def until(true: Callable[[], bool]) -> None:
    """Lets everything else run until it is so."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 what is waited for has no event of its own
            await asyncio.sleep(0)


def record(*arrivals: float, start: float = 0.0, out: int | None = None, error: str = "", into: int = 10) -> Record:
    num_output = len(arrivals) if out is None else out
    end = arrivals[-1] if arrivals else start
    return Record(start, into, start, end, list(arrivals), num_output, error)


class PaperTarget:
    """Answers at once with two messages; remembers how many were asked at the same time. Holds while `gate` is shut."""

    backend = "paper"

    def __init__(self, vocab_size: int = 0) -> None:
        self.sent: list[Planned] = []
        self.num_now = self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error = ""
        self._vocab_size = vocab_size

    async def served(self) -> Served:
        return Served("paper", self._vocab_size)

    async def send(self, planned: Planned, record: Record) -> None:
        self.sent.append(planned)
        self.num_now += 1
        self.most = max(self.most, self.num_now)
        record.start_s = float(len(self.sent))
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            record.error = "interrupted"
            raise
        finally:
            self.num_now -= 1
            record.end_s = record.start_s + 1
        record.arrivals += [record.start_s + 0.5, record.start_s + 1]
        record.num_output, record.error = planned.num_output, self.error

    async def close(self) -> None:
        self.gate.set()
