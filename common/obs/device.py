"""What a device says of itself, and what it says when it breaks. Knows nothing of who computes on it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from common.obs.nvml import DOUBLE_BIT, Nvml, NvmlError
from common.types.member import DeviceLoad

WAIT_MS = 1000
OTHERS_FAULTS = frozenset({13, 31, 43, 45, 68, 69, 109, 137})
"""XIDs of a program's own mistakes, which end that program: some other one on the same device goes on."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """Read at one moment. `links` has every other device of the machine, by how it is reached."""

    uuid: str
    name: str
    used_bytes: int
    total_bytes: int
    utilisation: int | None
    uncorrected_errors: int | None
    pcie: tuple[int, int] | None
    links: tuple[tuple[str, str], ...]


def read_devices(nvml: Nvml) -> tuple[DeviceFacts, ...]:
    """All of the machine's; raises `NvmlError`."""
    uuids = nvml.devices()
    return tuple(_read(nvml, uuid, tuple(other for other in uuids if other != uuid)) for uuid in uuids)


def _read(nvml: Nvml, uuid: str, others: tuple[str, ...]) -> DeviceFacts:
    used, total = nvml.memory(uuid)
    return DeviceFacts(
        uuid=uuid,
        name=nvml.name(uuid),
        used_bytes=used,
        total_bytes=total,
        utilisation=nvml.utilisation(uuid),
        uncorrected_errors=nvml.uncorrected_errors(uuid),
        pcie=nvml.pcie(uuid),
        links=tuple((other, nvml.link(uuid, other)) for other in others),
    )


class DeviceWatch:
    """A thread that waits for one device's errors, and reads its load in between. `on_fault` is called on it, once."""

    def __init__(self, nvml: Nvml, uuid: str, on_fault: Callable[[str], None]) -> None:
        self._nvml = nvml
        self._uuid = uuid
        self._on_fault = on_fault
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="device-watch", daemon=True)
        self._load: DeviceLoad | None = None
        self.hears = False

    def start(self) -> None:
        """Raises `NvmlError` where the library knows no such device, or not how it fares: nothing broke there."""
        self._load = load_of(self._nvml, self._uuid)
        self.hears = self._nvml.listen(self._uuid)
        self._thread.start()

    def load(self) -> DeviceLoad | None:
        """As it was at most about a second ago; None before the first reading. From any thread."""
        return self._load

    def stop(self) -> None:
        """Returns within the second that one wait lasts."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _wait(self) -> None:
        while not self._stopped.is_set():
            try:
                self._load = load_of(self._nvml, self._uuid)
                event = self._next_event()
            except NvmlError as error:
                self._on_fault(f"the device does not answer any more ({error})")
                return
            fault = None if event is None else fault_of(*event)
            if fault is not None:
                self._on_fault(fault)
                return

    def _next_event(self) -> tuple[int, int] | None:
        if self.hears:
            return self._nvml.next_event(self._uuid, WAIT_MS)
        self._stopped.wait(WAIT_MS / 1000)
        return None


def load_of(nvml: Nvml, uuid: str) -> DeviceLoad:
    used, total = nvml.memory(uuid)
    utilisation, errors = nvml.utilisation(uuid) or 0, nvml.uncorrected_errors(uuid) or 0
    return DeviceLoad(used, total, min(utilisation, 100) / 100, errors)


def fault_of(kind: int, number: int) -> str | None:
    """What an event means for a worker on that device; None when it is another program's business."""
    if kind == DOUBLE_BIT:
        return "the device's memory has an error that could not be corrected"
    return None if number in OTHERS_FAULTS else f"the device reported error XID {number}"
