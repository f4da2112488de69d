"""Coroutines that begin at once and go on whenever what they await is done, without a task.

For the write of every token: a task would have to be woken for it, by a turn of the loop and through every coroutine it
stands in, and that is a good part of what a token costs. From Python 3.12 on asyncio can begin tasks eagerly itself.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Eager:
    """Carries one coroutine after the other; they await nothing but futures, and cannot be cancelled. `on_end` hears
    how each ended; only then the next may begin.
    """

    __slots__ = ("_coroutine", "_on_end")

    def __init__(self, on_end: Callable[[BaseException | None], None]) -> None:
        self._on_end = on_end
        self._coroutine: Coroutine[Any, Any, None]

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self._go_on(None)

    def _go_on(self, awaited: "asyncio.Future[Any] | None") -> None:
        """The coroutine looks at the future's outcome by itself."""
        try:
            awaits: asyncio.Future[Any] = self._coroutine.send(None)
        except StopIteration:
            self._on_end(None)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - told to whoever began it
            self._on_end(error)
        else:
            awaits.add_done_callback(self._go_on)
