"""The alarm rings once, at the time it was last set to, and not after it was switched off."""

import asyncio
import time

from common.net.alarm import Alarm


async def test_it_rings_with_the_time() -> None:
    rung: asyncio.Queue[float] = asyncio.Queue()
    alarm = Alarm(rung.put_nowait)
    before = asyncio.get_running_loop().time()
    alarm.set(before + 0.01)
    assert await asyncio.wait_for(rung.get(), 20) <= time.monotonic()
    alarm.set(before)
    await asyncio.wait_for(rung.get(), 20)
    assert rung.empty()


async def test_moved_nearer_it_rings_once() -> None:
    rung: asyncio.Queue[float] = asyncio.Queue()
    alarm = Alarm(rung.put_nowait)
    now = asyncio.get_running_loop().time()
    for at in (now + 3600, now + 1800, now):
        alarm.set(at)
        alarm.set(at)
    await asyncio.wait_for(rung.get(), 20)
    await asyncio.sleep(0)
    assert rung.empty()


async def test_switched_off_it_is_silent() -> None:
    rung: asyncio.Queue[float] = asyncio.Queue()
    off, on = Alarm(rung.put_nowait), Alarm(rung.put_nowait)
    now = asyncio.get_running_loop().time()
    off.set(now)
    off.set(None)
    on.set(now)
    await asyncio.wait_for(rung.get(), 20)
    await asyncio.sleep(0)
    assert rung.empty()
