"""NVIDIA's own package has what is asked of it, by these names and with these numbers. No device is needed for that."""

import ctypes
import inspect

import pytest

from common.obs.nvml import DOUBLE_BIT, XID

pynvml = pytest.importorskip("pynvml")

ARGUMENTS = {
    "nvmlInit": 0,
    "nvmlDeviceGetCount": 0,
    "nvmlDeviceGetHandleByIndex": 1,
    "nvmlDeviceGetHandleByUUID": 1,
    "nvmlDeviceGetUUID": 1,
    "nvmlDeviceGetName": 1,
    "nvmlDeviceGetMemoryInfo": 1,
    "nvmlDeviceGetUtilizationRates": 1,
    "nvmlDeviceGetTotalEccErrors": 3,
    "nvmlDeviceGetCurrPcieLinkGeneration": 1,
    "nvmlDeviceGetCurrPcieLinkWidth": 1,
    "nvmlDeviceGetP2PStatus": 3,
    "nvmlDeviceGetSupportedEventTypes": 1,
    "nvmlEventSetCreate": 0,
    "nvmlEventSetFree": 1,
    "nvmlDeviceRegisterEvents": 3,
    "nvmlEventSetWait": 2,
}


@pytest.mark.parametrize(("name", "count"), ARGUMENTS.items())
def test_every_function_takes_what_it_is_given(name: str, count: int) -> None:
    inspect.signature(getattr(pynvml, name)).bind(*range(count))


def test_numbers_and_fields() -> None:
    assert (pynvml.nvmlEventTypeXidCriticalError, pynvml.nvmlEventTypeDoubleBitEccError) == (XID, DOUBLE_BIT)
    assert (pynvml.NVML_P2P_STATUS_OK, pynvml.NVML_P2P_CAPS_INDEX_NVLINK) == (0, 2)
    assert pynvml.NVML_P2P_CAPS_INDEX_READ in (0, (0,)), "a tuple by mistake: 0 is written out instead"
    assert (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC) == (1, 0)
    assert {"eventType", "eventData"} <= {name for name, _ in pynvml.c_nvmlEventData_t._fields_}
    assert ctypes.sizeof(pynvml.c_nvmlEventData_t) == 32
    assert {"used", "total"} <= {name for name, _ in pynvml.c_nvmlMemory_t._fields_}


def test_a_wait_that_ends_is_an_error_of_its_own() -> None:
    raised = pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
    assert isinstance(raised, pynvml.NVMLError_Timeout)
    assert issubclass(pynvml.NVMLError_Timeout, pynvml.NVMLError)
