"""A pool on a device, over a driver that needs none; and what the real driver says where there is no device."""

import ctypes

import pytest
import torch

from common.cache.device_memory import SHARED_UNIT, DeviceMemory
from common.cache.driver import CudaDriver, DriverError
from common.cache.storage import KVStorage
from common.types.errors import StartupError
from tests.cache.fake_driver import FakeDriver, FakeMachine
from tests.cache.test_storage import LAYOUT


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver(FakeMachine())


def test_the_pool_is_zeroed_and_has_scratch_blocks_of_its_own(driver: FakeDriver) -> None:
    storage = KVStorage(LAYOUT, 6, driver=driver, num_scratch=1)
    assert tuple(storage.tensor.shape) == (7, *LAYOUT.block_shape)
    assert storage.tensor.dtype == torch.bfloat16
    assert not storage.tensor.any()
    assert (storage.bytes, storage.fd) == (None, None)
    assert storage.num_bytes == 6 * LAYOUT.block_bytes
    storage.close()
    storage.close()
    assert not driver.allocated


def test_a_handle_is_made_once_and_then_the_memory_stays(driver: FakeDriver) -> None:
    memory = DeviceMemory(driver, 100)
    handle = memory.handle()
    assert memory.handle() == handle
    assert driver.num_exports == 1
    memory.close()
    assert list(driver.allocated) == [memory.pointer]
    with pytest.raises(RuntimeError, match="closed"):
        _ = memory.content


@pytest.mark.parametrize(("wanted", "taken"), [(1, 1), (SHARED_UNIT, 1), (SHARED_UNIT + 1, 2)])
def test_nobody_elses_memory_is_in_what_a_handle_opens(driver: FakeDriver, wanted: int, taken: int) -> None:
    memory = DeviceMemory(driver, wanted)
    assert len(driver.allocated[memory.pointer]) == taken * SHARED_UNIT
    assert len(memory.content) == wanted


def test_another_process_sees_the_same_bytes(driver: FakeDriver) -> None:
    memory, peer = DeviceMemory(driver, 100), FakeDriver(driver.machine)
    pointer = peer.open(memory.handle())
    memory.content[7] = 9
    assert peer.view(pointer, 100)[7] == 9
    with pytest.raises(DriverError, match="invalid context"):
        driver.open(memory.handle())


def test_too_little_device_memory_is_told_with_the_fix() -> None:
    with pytest.raises(StartupError, match=r"out of memory\. Lower kv_memory or device_share"):
        DeviceMemory(FakeDriver(FakeMachine(), num_free_bytes=10), 11)
    with pytest.raises(StartupError, match="are free"):
        KVStorage(LAYOUT, 6, available_bytes=10, driver=FakeDriver(FakeMachine()))


@pytest.mark.parametrize(("code", "text"), [(2, "out of memory"), (217, "peer access"), (31337, "error 31337")])
def test_errors_say_what_they_mean(code: int, text: str) -> None:
    assert text in str(DriverError("cuMemAlloc_v2", code))
    assert DriverError("call", code).out_of_memory == (code == 2)


def test_where_there_is_no_driver_it_is_said() -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        with pytest.raises(OSError, match="libcuda"):
            CudaDriver(0)
    else:
        pytest.skip("this machine has a driver")
