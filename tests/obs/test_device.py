"""Facts of devices, and which of their errors make a worker unready."""

from collections.abc import Callable
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pytest

from common.obs import device
from common.obs.device import DeviceWatch, fault_of, read_devices
from common.obs.nvml import DOUBLE_BIT, XID, NvmlError, PyNvml
from common.types.member import DeviceLoad
from tests.obs.fake_nvml import FakeNvml

WAIT_S = 30.0  # only ever reached by a test that fails


def test_facts_of_all_devices_and_their_links() -> None:
    first, second = read_devices(FakeNvml(links={frozenset(("GPU-a", "GPU-b")): "NVLink"}))
    assert (first.uuid, first.name, first.used_bytes, first.total_bytes) == ("GPU-a", "NVIDIA Test", 4 << 30, 16 << 30)
    assert (first.utilisation, first.uncorrected_errors, first.pcie) == (37, 0, (5, 16))
    assert first.links == (("GPU-b", "NVLink"),)
    assert second.links == (("GPU-a", "NVLink"),)
    with pytest.raises(NvmlError):
        read_devices(FakeNvml(broken=True))


@pytest.mark.parametrize(
    ("kind", "number", "fault"),
    [
        (XID, 79, "the device reported error XID 79"),
        (XID, 95, "the device reported error XID 95"),
        (XID, 31, None),
        (XID, 43, None),
        (XID, 154, "the device reported error XID 154"),  # it has to be reset, or its host restarted
        (DOUBLE_BIT, 0, "the device's memory has an error that could not be corrected"),
    ],
)
def test_which_errors_are_ours(kind: int, number: int, fault: str | None) -> None:
    assert fault_of(kind, number) == fault


def test_a_watch_tells_the_first_fault_once() -> None:
    nvml, told = FakeNvml(), Queue[str]()
    for event in ((XID, 31), (XID, 79), (XID, 48)):
        nvml.events.put(event)
    watch = DeviceWatch(nvml, "GPU-a", told.put)
    assert watch.load() is None
    watch.start()
    assert told.get(timeout=WAIT_S) == "the device reported error XID 79"
    assert watch.load() == DeviceLoad(4 << 30, 16 << 30, 0.37, 0)
    watch.stop()
    watch.stop()
    assert told.empty()
    assert nvml.num_waits == 2


def test_a_device_that_is_gone_is_a_fault() -> None:
    nvml, told = FakeNvml(), Queue[str]()
    nvml.events.put(NvmlError("GPU is lost"))
    watch = DeviceWatch(nvml, "GPU-a", told.put)
    watch.start()
    assert told.get(timeout=WAIT_S) == "the device does not answer any more (GPU is lost)"
    watch.stop()


def test_a_device_that_tells_of_no_errors_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "WAIT_MS", 1)
    nvml = FakeNvml(tells=False)
    watch = DeviceWatch(nvml, "GPU-a", pytest.fail)
    watch.start()
    assert not watch.hears
    for _ in range(3):
        nvml.readings.get(timeout=WAIT_S)
    watch.stop()
    assert nvml.num_waits == 0


def test_a_device_the_library_does_not_know_is_no_fault() -> None:
    watch = DeviceWatch(FakeNvml(knows=False), "GPU-a", pytest.fail)
    with pytest.raises(NvmlError):
        watch.start()
    watch.stop()


class Failed(Exception):
    """As the library's own error."""


class TimedOut(Failed):
    """As the library's own time-out."""


def library(**functions: Any) -> SimpleNamespace:
    constants = {
        "NVMLError": Failed,
        "NVMLError_Timeout": TimedOut,
        "NVML_MEMORY_ERROR_TYPE_UNCORRECTED": 1,
        "NVML_VOLATILE_ECC": 0,
        "NVML_P2P_STATUS_OK": 0,
        "NVML_P2P_CAPS_INDEX_NVLINK": 2,
    }
    return SimpleNamespace(**constants, **{f"nvml{name}": function for name, function in functions.items()})


def test_the_library_is_asked_by_uuid_and_what_it_lacks_is_none() -> None:
    def unsupported(*arguments: object) -> None:
        raise Failed("Not Supported")

    nvml = PyNvml(
        library(
            DeviceGetCount=lambda: 2,
            DeviceGetHandleByIndex=lambda at: at,
            DeviceGetUUID=lambda handle: f"GPU-{handle}".encode(),
            DeviceGetHandleByUUID=lambda uuid: int(uuid.removeprefix("GPU-")),
            DeviceGetName=lambda handle: f"device {handle}",
            DeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=1, total=2),
            DeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=5),
            DeviceGetTotalEccErrors=unsupported,
            DeviceGetCurrPcieLinkGeneration=lambda handle: 4,
            DeviceGetCurrPcieLinkWidth=lambda handle: 8,
            DeviceGetP2PStatus=lambda own, peer, index: 0 if index == 0 else 5,
        )
    )
    first, second = read_devices(nvml)
    assert (first.name, first.uncorrected_errors, first.pcie, first.utilisation) == ("device 0", None, (4, 8), 5)
    assert second.links == (("GPU-0", "PCIe"),)


def test_waiting_for_an_event_registers_once() -> None:
    registered: list[int] = []
    answers = iter([TimedOut(), SimpleNamespace(eventType=XID, eventData=79), Failed("GPU is lost")])

    def wait(events: object, timeout_ms: int) -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    nvml = PyNvml(listening(lambda handle, kinds, events: registered.append(kinds), EventSetWait=wait))
    assert nvml.listen("GPU-a")
    assert nvml.next_event("GPU-a", 1) is None
    assert nvml.next_event("GPU-a", 1) == (XID, 79)
    with pytest.raises(NvmlError, match="GPU is lost"):
        nvml.next_event("GPU-a", 1)
    assert registered == [XID | DOUBLE_BIT]


def listening(register: Callable[[object, int, object], None], kinds: int = 0xF, **functions: Any) -> SimpleNamespace:
    return library(
        DeviceGetHandleByUUID=lambda uuid: 7,
        DeviceGetSupportedEventTypes=lambda handle: kinds,
        EventSetCreate=object,
        EventSetFree=lambda events: None,
        DeviceRegisterEvents=register,
        **functions,
    )


@pytest.mark.parametrize(("supported", "kinds"), [(XID, [XID]), (XID | 4, [XID]), (DOUBLE_BIT, [DOUBLE_BIT]), (4, [])])
def test_only_kinds_that_the_device_has_are_asked_for(supported: int, kinds: list[int]) -> None:
    registered: list[int] = []
    nvml = PyNvml(listening(lambda handle, asked, events: registered.append(asked), supported))
    assert nvml.listen("GPU-a") == bool(kinds)
    assert registered == kinds


def test_a_platform_without_events_is_not_listened_to() -> None:
    def unsupported(handle: object, kinds: int, events: object) -> None:
        raise Failed("Not Supported")

    assert not PyNvml(listening(unsupported)).listen("GPU-a")
