"""A device's error reaches the loop; a worker on a CPU watches nothing."""

import asyncio

import pytest

from common.cache.storage import KVStorage
from common.engine.unreadiness import watch_device
from common.obs.nvml import XID, NvmlError
from tests.cache.fake_driver import FakeDriver, FakeMachine
from tests.cache.test_storage import LAYOUT
from tests.obs.fake_nvml import FakeNvml


def on_device() -> KVStorage:
    return KVStorage(LAYOUT, 2, driver=FakeDriver(FakeMachine(), identity=bytes(range(16))))


async def test_a_fault_is_told_on_the_loop() -> None:
    nvml, told = FakeNvml(), asyncio.Queue[str]()
    watch = watch_device(on_device(), told.put_nowait, lambda: nvml)
    nvml.events.put((XID, 79))
    async with asyncio.timeout(30):
        assert await told.get() == "the device reported error XID 79"
    assert watch is not None
    await asyncio.to_thread(watch.stop)


async def test_nothing_to_watch() -> None:
    def unanswered() -> FakeNvml:
        raise NvmlError("Driver Not Loaded")

    assert watch_device(KVStorage(LAYOUT, 2), pytest.fail) is None
    assert watch_device(on_device(), pytest.fail, unanswered) is None


async def test_a_device_by_another_name_makes_nobody_unready(caplog: pytest.LogCaptureFixture) -> None:
    assert watch_device(on_device(), pytest.fail, lambda: FakeNvml(knows=False)) is None
    assert "does not know it" in caplog.text


async def test_a_device_that_tells_of_no_errors_is_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    watch = watch_device(on_device(), pytest.fail, lambda: FakeNvml(tells=False))
    assert watch is not None
    assert watch.load() is not None
    assert "it tells of none" in caplog.text
    await asyncio.to_thread(watch.stop)
