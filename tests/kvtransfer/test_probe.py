"""Which connection is taken, and what is said of slow ones."""

from collections.abc import Sequence

import pytest

from common.types.ids import AttemptId
from common.types.kv import Pair
from kvtransfer.probe import MAX_SAMPLE_BLOCKS, copy_bytes_per_s, measure
from kvtransfer.transports.contract import FetchReport, TransportFailed


class Road:
    """A connection that only knows how fast it is."""

    def __init__(self, name: str, *speeds: float) -> None:
        self.name = name
        self.asked: list[int] = []
        self._speeds = list(speeds)

    async def measure(self, num_blocks: int) -> float:
        self.asked.append(num_blocks)
        if not self._speeds:
            raise TransportFailed("the bridge is out")
        return self._speeds.pop(0)

    async def fetch(self, attempt: AttemptId, pairs: Sequence[Pair]) -> FetchReport:
        return FetchReport(0, 0.0, self.name)

    def in_flight(self, attempt: AttemptId) -> int:
        return 0

    async def drained(self, attempt: AttemptId) -> None: ...

    async def fence(self) -> None: ...

    async def close(self) -> None: ...


async def test_the_fastest_comes_first_by_its_best_sample() -> None:
    said: list[str] = []
    slow, fast = Road("tcp", 1e13, 1e13, 1e13), Road("shm", 1e9, 5e13, 1e9)
    measured = await measure([slow, fast], 4096, said.append)
    assert [(m.transport.name, m.bytes_per_s) for m in measured] == [("shm", 5e13), ("tcp", 1e13)]
    assert said == []


async def test_one_that_cannot_be_measured_is_left_out_and_said() -> None:
    said: list[str] = []
    measured = await measure([Road("shm", 1.0), Road("tcp", 1e13, 1e13, 1e13)], 4096, said.append)
    assert [m.transport.name for m in measured] == ["tcp"]
    assert said == ["transport shm cannot be used: the bridge is out"]


@pytest.mark.parametrize(("name", "advice"), [("tcp", "run both workers on one host"), ("shm", "is the machine busy")])
async def test_one_that_is_far_slower_than_memory_is_said_aloud(name: str, advice: str) -> None:
    said: list[str] = []
    await measure([Road(name, 1e6, 1e6, 1e6)], 4096, said.append)
    assert len(said) == 1
    assert said[0].startswith(f"SLOW HAND-OFF: KV arrives over {name} at 0.00 GB/s, 0% of the")
    assert advice in said[0]


async def test_samples_are_a_few_blocks() -> None:
    small, large = Road("shm", 1e13, 1e13, 1e13), Road("shm", 1e13, 1e13, 1e13)
    await measure([small], 1, lambda _: None)
    await measure([large], 5 << 20, lambda _: None)
    assert small.asked == [MAX_SAMPLE_BLOCKS] * 3
    assert large.asked == [1] * 3


async def test_nothing_in_common_is_nothing() -> None:
    assert await measure([], 4096, lambda _: None) == ()


def test_memory_is_copied_at_some_speed() -> None:
    assert copy_bytes_per_s(1 << 16) > 0
