"""Virtual time: what is due next, in an order that depends on nothing but the times and the order of asking."""

import heapq
from collections.abc import Callable
from typing import Any

from loadtest.simulator.words import Violation


class Clock:
    """Seconds since the world began."""

    def __init__(self) -> None:
        self.now = 0.0
        self.num_events = 0
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._num_asked = 0

    def at(self, time: float, act: Callable[..., None], *arguments: Any) -> None:
        """Calls `act(*arguments)` at this time, or now if it has passed."""
        self._num_asked += 1
        heapq.heappush(self._due, (max(time, self.now), self._num_asked, act, arguments))

    def after(self, delay_s: float, act: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now + delay_s, act, *arguments)

    def run(self, max_events: int) -> None:
        """Until nothing is due any more."""
        while self._due:
            self.now, _, act, arguments = heapq.heappop(self._due)
            act(*arguments)
            self.num_events += 1
            if self.num_events > max_events:
                raise Violation(f"the fleet does not come to rest within {max_events} events")
