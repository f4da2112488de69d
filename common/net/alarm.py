"""Rings when a machine's next expiry is due, with or without traffic. Owns one timer; knows nothing of the machine."""

import asyncio
import time
from collections.abc import Callable


class Alarm:
    """`set(at)` after every change; `ring(now)` is called once that time has come."""

    def __init__(self, ring: Callable[[float], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._at: float | None = None

    def set(self, at: float | None) -> None:
        """Moves the alarm; None switches it off. Setting the same time again costs nothing."""
        if at == self._at:
            return
        self._at = at
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            wait_s = max(0.0, at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._fire)

    def _fire(self) -> None:
        self._timer, self._at = None, None
        self._ring(time.monotonic())
