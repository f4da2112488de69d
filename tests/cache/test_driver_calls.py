"""Every call of the real driver, over a library in C of the same prototypes: types, order, contexts, errors.

What these calls do on a device it cannot show, nor what torch makes of the pointer.
"""

import ctypes
import re
import subprocess
import threading
from pathlib import Path

import pytest

from common.cache import driver as driving
from common.cache.driver import HANDLE_BYTES, CudaDriver, DriverError
from tests.native_library import compiled

SOURCE = Path(__file__).parent / "stand_in_cuda.c"
# as cuda.h of CUDA 13.0 and 13.5 has them
CODES = {
    "INVALID_VALUE": 1,
    "OUT_OF_MEMORY": 2,
    "NOT_INITIALIZED": 3,
    "NO_DEVICE": 100,
    "INVALID_DEVICE": 101,
    "INVALID_CONTEXT": 201,
    "MAP_FAILED": 205,
    "PEER_ACCESS_UNSUPPORTED": 217,
    "INVALID_HANDLE": 400,
    "ILLEGAL_ADDRESS": 700,
    "ASSERT": 710,
    "TOO_MANY_PEERS": 711,
    "LAUNCH_FAILED": 719,
    "NOT_PERMITTED": 800,
    "NOT_SUPPORTED": 801,
    "SYSTEM_NOT_READY": 802,
    "UNKNOWN": 999,
}
FLAG, ATTRIBUTE = 1, 9  # CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compiled(SOURCE, tmp_path_factory.mktemp("cuda"))


@pytest.fixture
def driver(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> CudaDriver:
    monkeypatch.setattr(driving, "_library", lambda: library)
    ctypes.c_int.in_dll(library, "num_outside").value = 0
    return CudaDriver(2)


def number(library: ctypes.CDLL, name: str) -> int:
    return ctypes.c_int.in_dll(library, name).value


def test_a_device_is_asked_by_ordinal_and_named_by_its_uuid(driver: CudaDriver) -> None:
    assert str(driver.device) == "cuda:2"
    assert driver.identity == bytes(range(32, 48))
    assert driver.uuid == "GPU-20212223-2425-2627-2829-2a2b2c2d2e2f"


def test_memory_is_taken_exported_opened_copied_and_given_back(driver: CudaDriver, library: ctypes.CDLL) -> None:
    source, target = driver.allocate(64), driver.allocate(64)
    ctypes.memset(source, 7, 64)
    ctypes.memset(target, 0, 64)
    handle = driver.export(source)
    assert len(handle) == HANDLE_BYTES
    assert driver.open(handle) == source, "the whole handle travels by value"
    assert number(library, "last_flags") == FLAG
    driver.copy(target, source, 64, 0x1234567890)
    assert ctypes.string_at(target, 64) == b"\7" * 64
    assert ctypes.c_uint64.in_dll(library, "last_stream").value == 0x1234567890
    driver.close(source)
    driver.free(source)
    driver.free(target)
    assert number(library, "num_outside") == 0


def test_an_opened_pointers_device_is_asked_for(driver: CudaDriver, library: ctypes.CDLL) -> None:
    assert str(driver._holder(1)) == "cuda:3"
    assert number(library, "last_attribute") == ATTRIBUTE


def test_any_thread_may_call_and_none_keeps_the_context(driver: CudaDriver, library: ctypes.CDLL) -> None:
    thread = threading.Thread(target=lambda: driver.free(driver.allocate(8)))
    thread.start()
    thread.join()
    assert number(library, "num_outside") == number(library, "num_current") == 0


def test_a_refusal_is_an_error_and_leaves_no_context_behind(driver: CudaDriver, library: ctypes.CDLL) -> None:
    with pytest.raises(DriverError, match="out of memory") as caught:
        driver.allocate(1 << 41)
    assert caught.value.out_of_memory
    with pytest.raises(DriverError, match="invalid value"):
        driver.open(bytes(HANDLE_BYTES))
    with pytest.raises(ValueError, match="another length"):
        driver.open(b"short")
    assert number(library, "num_current") == 0


def test_a_device_that_there_is_not(driver: CudaDriver) -> None:
    with pytest.raises(DriverError, match="cuDevicePrimaryCtxRetain: invalid value"):
        CudaDriver(7)


def test_codes_are_the_headers(library: ctypes.CDLL) -> None:
    assert set(driving._MEANINGS) == set(CODES.values())
    assert (driving._LAZY_PEER_ACCESS, driving._DEVICE_ORDINAL) == (FLAG, ATTRIBUTE)
    if not number(library, "has_header"):
        return
    asked = "#include <cuda.h>\n" + "\n".join(f'"{name}" CUDA_ERROR_{name}' for name in CODES)
    text = subprocess.run(["cc", "-E", "-P", "-"], input=asked, capture_output=True, text=True, check=True).stdout
    named = dict(re.findall(r"CUDA_ERROR_(\w+)\s*=\s*(\d+)", text))
    assert {name: int(named[name]) for name in CODES} == CODES
