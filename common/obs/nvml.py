"""The few questions Baton asks of NVIDIA's management library, behind a seam: a machine without it answers none.

Devices are named by their UUID: the library counts them in another order than CUDA does.
"""

from importlib.util import find_spec
from typing import Any, Protocol

XID, DOUBLE_BIT = 0x8, 0x2  # kinds of event


class NvmlError(Exception):
    """The library, or the driver below it, does not answer."""


class Nvml(Protocol):
    """What is asked; a fact the device does not have is None."""

    def devices(self) -> tuple[str, ...]:
        """UUIDs."""
        ...

    def name(self, uuid: str) -> str: ...

    def memory(self, uuid: str) -> tuple[int, int]:
        """Bytes in use, and in all."""
        ...

    def utilisation(self, uuid: str) -> int | None:
        """Per cent of the last moments in which a kernel ran."""
        ...

    def uncorrected_errors(self, uuid: str) -> int | None:
        """Since the driver was loaded."""
        ...

    def pcie(self, uuid: str) -> tuple[int, int] | None:
        """Generation and number of lanes in use."""
        ...

    def link(self, uuid: str, other: str) -> str:
        """How two devices reach each other's memory: "NVLink", "PCIe", or nothing."""
        ...

    def listen(self, uuid: str) -> bool:
        """Whether the device tells of errors; from now on they are kept for `next_event`."""
        ...

    def next_event(self, uuid: str, timeout_ms: int) -> tuple[int, int] | None:
        """Waits for an error of a device listened to: its kind, and the XID's number. None when there was none."""
        ...


class PyNvml:
    """The real one. `open` raises `NvmlError` where it is not installed or finds no driver."""

    def __init__(self, library: Any) -> None:
        self._nvml = library
        self._waiting: dict[str, Any] = {}

    @classmethod
    def open(cls) -> "PyNvml":
        if find_spec("pynvml") is None:
            raise NvmlError("nvidia-ml-py is not installed")
        import pynvml

        opened = cls(pynvml)
        opened._ask("nvmlInit")
        return opened

    def devices(self) -> tuple[str, ...]:
        handles = [self._ask("nvmlDeviceGetHandleByIndex", at) for at in range(self._ask("nvmlDeviceGetCount"))]
        return tuple(_text(self._ask("nvmlDeviceGetUUID", handle)) for handle in handles)

    def name(self, uuid: str) -> str:
        return _text(self._ask("nvmlDeviceGetName", self._handle(uuid)))

    def memory(self, uuid: str) -> tuple[int, int]:
        found = self._ask("nvmlDeviceGetMemoryInfo", self._handle(uuid))
        return int(found.used), int(found.total)

    def utilisation(self, uuid: str) -> int | None:
        found = self._perhaps("nvmlDeviceGetUtilizationRates", self._handle(uuid))
        return None if found is None else int(found.gpu)

    def uncorrected_errors(self, uuid: str) -> int | None:
        kinds = self._nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, self._nvml.NVML_VOLATILE_ECC
        found = self._perhaps("nvmlDeviceGetTotalEccErrors", self._handle(uuid), *kinds)
        return None if found is None else int(found)

    def pcie(self, uuid: str) -> tuple[int, int] | None:
        generation = self._perhaps("nvmlDeviceGetCurrPcieLinkGeneration", self._handle(uuid))
        width = self._perhaps("nvmlDeviceGetCurrPcieLinkWidth", self._handle(uuid))
        return None if generation is None or width is None else (int(generation), int(width))

    def link(self, uuid: str, other: str) -> str:
        own, peer = self._handle(uuid), self._handle(other)
        fine = self._nvml.NVML_P2P_STATUS_OK
        if self._perhaps("nvmlDeviceGetP2PStatus", own, peer, self._nvml.NVML_P2P_CAPS_INDEX_NVLINK) == fine:
            return "NVLink"
        # the constant for reading is a tuple in some versions of the package
        return "PCIe" if self._perhaps("nvmlDeviceGetP2PStatus", own, peer, 0) == fine else ""

    def listen(self, uuid: str) -> bool:
        handle = self._handle(uuid)
        # one kind that a device does not have, and none is registered: without ECC memory there is no DOUBLE_BIT
        kinds = (self._perhaps("nvmlDeviceGetSupportedEventTypes", handle) or 0) & (XID | DOUBLE_BIT)
        if not kinds:
            return False
        events = self._ask("nvmlEventSetCreate")
        try:
            self._nvml.nvmlDeviceRegisterEvents(handle, kinds, events)
        except self._nvml.NVMLError:
            self._perhaps("nvmlEventSetFree", events)
            return False
        self._waiting[uuid] = events
        return True

    def next_event(self, uuid: str, timeout_ms: int) -> tuple[int, int] | None:
        try:
            event = self._nvml.nvmlEventSetWait(self._waiting[uuid], timeout_ms)
        except self._nvml.NVMLError_Timeout:
            return None
        except self._nvml.NVMLError as error:
            raise NvmlError(str(error)) from error
        return int(event.eventType), int(event.eventData)

    def _handle(self, uuid: str) -> Any:
        return self._ask("nvmlDeviceGetHandleByUUID", uuid)

    def _perhaps(self, name: str, *arguments: Any) -> Any:
        """None for what a device or driver does not support."""
        try:
            return getattr(self._nvml, name)(*arguments)
        except self._nvml.NVMLError:
            return None

    def _ask(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self._nvml, name)(*arguments)
        except self._nvml.NVMLError as error:
            raise NvmlError(str(error)) from error


def _text(found: str | bytes) -> str:
    return found.decode() if isinstance(found, bytes) else found
