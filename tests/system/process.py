"""One process among others: how to signal it, to wait for its end, and what the system knows of it."""

import asyncio
import os
import re
import select
import signal
from collections.abc import Callable
from pathlib import Path

ENDING_S = 40.0


class Process:
    """One process of a fleet, known by a descriptor: its number cannot come to mean another."""

    def __init__(self, name: str, pid: int, log: Path, reap: Callable[[], int]) -> None:
        self.name, self.pid, self.log = name, pid, log
        log.touch()
        self._reap = reap
        self._fd = os.pidfd_open(pid)
        self._code: int | None = None

    def signal(self, number: signal.Signals) -> None:
        signal.pidfd_send_signal(self._fd, number)

    @property
    def alive(self) -> bool:
        return self._code is None and not select.select([self._fd], [], [], 0)[0]

    async def ended(self) -> int:
        """The exit code, negative for a signal."""
        if self._code is None and self.alive:
            gone, loop = asyncio.Event(), asyncio.get_running_loop()
            loop.add_reader(self._fd, gone.set)
            try:
                async with asyncio.timeout(ENDING_S):
                    await gone.wait()
            finally:
                loop.remove_reader(self._fd)
        return self.reap(0)

    def reap(self, wait_s: float) -> int:
        """The same from where nothing else waits; kills a process that does not end."""
        if self._code is None:
            if not select.select([self._fd], [], [], wait_s)[0]:
                self.signal(signal.SIGKILL)
                select.select([self._fd], [], [])
            self._code = self._reap()
            os.close(self._fd)
        return self._code

    def lines(self) -> list[str]:
        """What it said so far."""
        return self.log.read_text().splitlines()

    @property
    def address(self) -> str:
        """Where a worker listens, once it is ready."""
        found = re.search(r"ready in .* worker on (\S+)", self.log.read_text())
        return found[1] if found else ""


def children(pid: int) -> tuple[int, ...]:
    """The processes that one has started and that are still its own."""
    return tuple(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def group_exists(pid: int) -> bool:
    """Whether any process of the group that this one made is left."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True
