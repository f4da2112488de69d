"""A device to boot on where there is none: its memory is this process's, and what is free follows a script."""

from dataclasses import dataclass, field

from common.engine.device_ground import DeviceGround
from common.engine.voice import Voice
from common.types.device import Device
from tests.cache.fake_driver import FakeDriver, FakeMachine
from tests.engine.fake_stage import FakeStage

MIB = 1 << 20


@dataclass
class FakeMeter:
    """`graph_bytes` go whenever somebody asks again: as if something had been captured meanwhile."""

    total_bytes: int = 2048 * MIB
    free_bytes: int = 1024 * MIB
    weights: int = 3 * MIB
    activations: int = 40 * MIB
    graph_bytes: int = 2 * MIB
    num_releases: int = 0

    def total(self) -> int:
        return self.total_bytes

    def free(self) -> int:
        self.free_bytes -= self.graph_bytes
        return self.free_bytes

    def taken(self) -> int:
        return self.weights

    def mark(self) -> None:
        """Only `peak` counts from here."""

    def peak(self) -> int:
        return self.weights + self.activations

    def release(self) -> None:
        self.num_releases += 1


@dataclass
class FakeGround:
    """What `boot` is given to open devices with."""

    meter: FakeMeter = field(default_factory=FakeMeter)
    driver: FakeDriver = field(default_factory=lambda: FakeDriver(FakeMachine()))
    stages: list[FakeStage] = field(default_factory=list)
    opened: list[Device] = field(default_factory=list)

    def open(self, where: Device, voice: Voice) -> DeviceGround:
        self.opened.append(where)
        return DeviceGround(self.make_stage, self.driver, self.meter, voice)

    def make_stage(self) -> FakeStage:
        self.stages.append(FakeStage())
        return self.stages[-1]
