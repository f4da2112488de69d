"""Background tasks end with their owner, and a bug in one is heard."""

import asyncio
from typing import Any

from common.net.background import Background


async def test_closing_cancels_and_waits() -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    background = Background()
    for name in "abc":
        background.spawn(work(name))
    await asyncio.sleep(0)
    await background.close()
    assert sorted(ended) == ["a", "b", "c"]
    await background.close()


async def test_a_task_may_cancel_the_others_and_go_on() -> None:
    background, ended = Background(), asyncio.Event()

    async def first() -> None:
        background.cancel()
        await background.close()
        ended.set()

    other = background.spawn(asyncio.Event().wait())  # type: ignore[arg-type]
    background.spawn(first())
    await asyncio.wait_for(ended.wait(), 20)
    assert other.cancelled()


async def test_a_bug_reaches_the_loop_s_exception_handler() -> None:
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.put_nowait(context))

    async def bug() -> None:
        raise ZeroDivisionError

    background = Background()
    background.spawn(bug())
    context = await asyncio.wait_for(heard.get(), 20)
    assert isinstance(context["exception"], ZeroDivisionError)
    await background.close()
