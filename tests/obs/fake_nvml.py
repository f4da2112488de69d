"""A machine's devices as its management library would tell of them; events come when a test says so."""

from dataclasses import dataclass, field
from queue import Empty, Queue

from common.obs.nvml import NvmlError


@dataclass
class FakeNvml:
    """Every device has the same facts; `links` names pairs that reach each other. It `tells` of errors or not."""

    uuids: tuple[str, ...] = ("GPU-a", "GPU-b")
    links: dict[frozenset[str], str] = field(default_factory=dict)
    errors: int | None = 0
    broken: bool = False
    tells: bool = True
    knows: bool = True
    events: "Queue[tuple[int, int] | NvmlError]" = field(default_factory=Queue)
    num_waits: int = 0
    readings: "Queue[str]" = field(default_factory=Queue)

    def devices(self) -> tuple[str, ...]:
        if self.broken:
            raise NvmlError("Driver Not Loaded")
        return self.uuids

    def name(self, uuid: str) -> str:
        return "NVIDIA Test"

    def memory(self, uuid: str) -> tuple[int, int]:
        self.readings.put(uuid)
        if not self.knows:
            raise NvmlError("Not Found")
        return 4 << 30, 16 << 30

    def utilisation(self, uuid: str) -> int | None:
        return 37

    def uncorrected_errors(self, uuid: str) -> int | None:
        return self.errors

    def pcie(self, uuid: str) -> tuple[int, int] | None:
        return (5, 16)

    def link(self, uuid: str, other: str) -> str:
        return self.links.get(frozenset((uuid, other)), "")

    def listen(self, uuid: str) -> bool:
        return self.tells

    def next_event(self, uuid: str, timeout_ms: int) -> tuple[int, int] | None:
        self.num_waits += 1
        try:
            event = self.events.get(timeout=timeout_ms / 1000)
        except Empty:
            return None
        if isinstance(event, NvmlError):
            raise event
        return event
