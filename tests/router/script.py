"""Where a fake worker stops and waits for the test, and where the test waits for it. No clock."""

import asyncio
from collections import defaultdict

PATIENCE_S = 20.0
"""Only a broken test waits this long."""


class Script:
    """Steps have names. A held step is reached, and passed only when it is released."""

    def __init__(self) -> None:
        self._held: dict[str, asyncio.Event] = {}
        self._seen: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def hold(self, *steps: str) -> None:
        for step in steps:
            self._held[step] = asyncio.Event()

    def release(self, *steps: str) -> None:
        for step in steps:
            self._held.pop(step).set()

    async def reach(self, step: str) -> None:
        """The worker's side: says that it is here, and goes on when it may."""
        self.mark(step)
        if step in self._held:
            await self._held[step].wait()

    def mark(self, step: str) -> None:
        self._seen[step].set()

    async def saw(self, step: str) -> None:
        """The test's side: returns when the worker has been at this step."""
        async with asyncio.timeout(PATIENCE_S):
            await self._seen[step].wait()

    def seen(self, step: str) -> bool:
        return self._seen[step].is_set()
