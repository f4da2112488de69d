"""An engine's threads behind everybody else on their cores, for as long as they do not starve there.

The system's background class does two things that niceness does not: whoever wakes up there runs at once, and a core
with nothing but such threads on it counts as free when it looks for one. A core that somebody else wants all the time
would never be theirs, though: `look`, called now and then, lets them come forward for a while when they waited for
longer than they ran. Where the system would not let them come back they step back by niceness alone.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

TASKS = Path("/proc/self/task")
LAST_OF_ALL = 20
"""The niceness that asks for this seat; the system's own ends at 19."""
STARVED_NICE = 10
FORWARD_S = 60.0
LEAST_WAIT_S = 0.5


class BackSeat:
    """Of one engine, which asks for it by niceness; anything below `LAST_OF_ALL` is niceness and no more."""

    def __init__(self, nice: int, clock: Callable[[], float] = time.monotonic, tasks: Path = TASKS) -> None:
        self._nice = nice
        self._clock = clock
        self._tasks = tasks
        self._threads: tuple[int, ...] = ()
        self._policy = os.SCHED_OTHER
        self._ran_s = self._waited_s = 0.0
        self._back_at = 0.0

    def threads(self) -> frozenset[int]:
        """All of this process, by their numbers."""
        return frozenset(int(task.name) for task in self._tasks.iterdir())

    def take(self, others: frozenset[int]) -> None:
        """For all threads but these, and for those they start. Called on the engine's thread, once."""
        if not self._nice:
            return
        seated = tuple(sorted(self.threads() - others))
        for thread in seated:
            nice = STARVED_NICE if self._nice == LAST_OF_ALL else self._nice
            if nice > os.getpriority(os.PRIO_PROCESS, thread):  # only a privileged one could come forward
                os.setpriority(os.PRIO_PROCESS, thread, nice)
        own = self._tasks / str(threading.get_native_id())
        if self._nice == LAST_OF_ALL and _times(own) is not None and _may_return():
            self._threads = seated
            self._move(os.SCHED_IDLE)
            self._starved()  # what they waited for until now does not count

    def look(self) -> None:
        """Comes forward after having starved, and goes back a while later."""
        if self._policy == os.SCHED_IDLE:
            self._threads = self._background()
            if self._starved():
                self._move(os.SCHED_OTHER)
                self._back_at = self._clock() + FORWARD_S
        elif self._threads and self._clock() >= self._back_at:
            self._move(os.SCHED_IDLE)
            self._starved()  # from here on

    def _background(self) -> tuple[int, ...]:
        """This process's threads that sit here, the engine's and those it started."""
        found = []
        for task in self._tasks.iterdir():
            with contextlib.suppress(OSError):  # it has ended
                if os.sched_getscheduler(int(task.name)) == os.SCHED_IDLE:
                    found.append(int(task.name))
        return tuple(found)

    def _starved(self) -> bool:
        """Whether since the last call they waited for a core for longer than they had one."""
        times = [found for thread in self._threads if (found := _times(self._tasks / str(thread))) is not None]
        ran_s, waited_s = sum(ran for ran, _ in times), sum(waited for _, waited in times)
        ran, self._ran_s = ran_s - self._ran_s, ran_s
        waited, self._waited_s = waited_s - self._waited_s, waited_s
        return waited > max(ran, LEAST_WAIT_S)

    def _move(self, policy: int) -> None:
        for thread in self._threads:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(thread, policy, os.sched_param(0))
        self._policy = policy


def _times(task: Path) -> tuple[float, float] | None:
    """Seconds a thread has run and has waited to run; None where the system does not count them."""
    try:
        ran, waited, _ = (task / "schedstat").read_text().split()
    except (OSError, ValueError):
        return None
    return int(ran) / 1e9, int(waited) / 1e9


def _may_return() -> bool:
    """Tried by a thread that has nothing else to do."""
    allowed: list[bool] = []

    def attempt() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        except OSError:
            return
        allowed.append(True)

    thread = threading.Thread(target=attempt, name="seat")
    thread.start()
    thread.join()
    return bool(allowed)
