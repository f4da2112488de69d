"""A coroutine without a task: when it runs, and who hears how it ended."""

import asyncio
from collections.abc import Awaitable

import pytest

from common.net.eager import Eager


class Heard:
    """How coroutines ended."""

    def __init__(self) -> None:
        self.ends: list[BaseException | None] = []

    def end(self, error: BaseException | None) -> None:
        self.ends.append(error)


async def each(*awaited: Awaitable[object]) -> None:
    for one in awaited:
        await one


async def test_it_runs_before_the_loop_does() -> None:
    heard, steps = Heard(), []

    async def work() -> None:
        steps.append("begun")

    Eager(heard.end).begin(work())
    assert (steps, heard.ends) == (["begun"], [None])


async def test_it_goes_on_with_each_future() -> None:
    heard, loop = Heard(), asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()
    Eager(heard.end).begin(each(first, second))
    first.set_result(None)
    await asyncio.sleep(0)
    assert heard.ends == []
    second.set_result(None)
    await asyncio.sleep(0)
    assert heard.ends == [None]


@pytest.mark.parametrize("at_once", [True, False])
async def test_an_error_is_told_and_not_raised(at_once: bool) -> None:
    heard, broken = Heard(), asyncio.get_running_loop().create_future()
    error = LookupError("gone")

    async def work() -> None:
        if at_once:
            raise error
        await broken

    Eager(heard.end).begin(work())
    if not at_once:
        broken.set_exception(error)
        await asyncio.sleep(0)
    assert heard.ends == [error]


async def test_a_cancelled_future_is_an_end_too() -> None:
    heard, awaited = Heard(), asyncio.get_running_loop().create_future()
    Eager(heard.end).begin(each(awaited))
    awaited.cancel()
    await asyncio.sleep(0)
    (end,) = heard.ends
    assert isinstance(end, asyncio.CancelledError)
