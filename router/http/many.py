"""Several asks of one HTTP request under one scope: all are admitted before any is computed, one failure ends all."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from common.net.interceptors import expected_error
from router.ask import Ask
from router.incoming import numbered
from router.relay import Outlet
from router.serving import Message, Serving

Take = Callable[[int, Sequence[Message]], Awaitable[None]]
"""Gets the ask's place in the list, and what came for it."""


async def generate_all(
    serving: Serving, asks: Sequence[Ask], remaining_s: float, take: Take, outlets: Sequence[Outlet]
) -> None:
    """Raises the first error. Each ask has its outlet."""
    if len(asks) == 1:
        await serving.generate(asks[0], remaining_s, partial(take, 0), outlet=outlets[0])
        return
    admitted = asyncio.Event()
    waiting = len(asks)

    async def gate() -> None:
        nonlocal waiting
        waiting -= 1
        if not waiting:
            admitted.set()
        await admitted.wait()

    async def one(place: int, ask: Ask) -> None:
        with numbered(place):
            await serving.generate(ask, remaining_s, partial(take, place), gate, outlets[place])

    try:
        async with asyncio.TaskGroup() as tasks:
            for place, ask in enumerate(asks):
                tasks.create_task(one(place, ask))
    except* Exception as failed:  # noqa: BLE001 - raised again, the first of them
        raise (expected_error(failed) or failed) from None
