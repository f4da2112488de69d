"""What can happen to blocks on their way, drawn from a seed.

Frames in, deliveries out; knows no clock, only delays.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Frame:
    """One block under way: where in the copy it belongs, and its bytes as the lender sent them."""

    position: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """A frame that arrives so many seconds after it was sent."""

    delay_s: float
    frame: Frame


Plan = Callable[[Sequence[Frame]], list[Delivery]]
"""Decides what becomes of the frames of one answer."""


def undisturbed(frames: Sequence[Frame]) -> list[Delivery]:
    return [Delivery(0.0, frame) for frame in frames]


@dataclass(slots=True)
class Faults:
    """A plan with chances per frame. The same seed and the same frames give the same deliveries."""

    seed: int
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    truncation: float = 0.0
    flips: float = 0.0
    delay: float = 0.0
    max_delay_s: float = 1.0
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def __call__(self, frames: Sequence[Frame]) -> list[Delivery]:
        deliveries: list[Delivery] = []
        for frame in frames:
            if self._chance(self.loss):
                continue
            copies = 2 if self._chance(self.duplication) else 1
            deliveries += [Delivery(self._delay(), self._damage(frame)) for _ in range(copies)]
        for place in range(len(deliveries) - 1):
            if self._chance(self.reordering):
                deliveries[place], deliveries[place + 1] = deliveries[place + 1], deliveries[place]
        return deliveries

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _delay(self) -> float:
        return self._random.uniform(0.0, self.max_delay_s) if self._chance(self.delay) else 0.0

    def _damage(self, frame: Frame) -> Frame:
        if self._chance(self.truncation):
            frame = replace(frame, data=frame.data[: self._random.randrange(len(frame.data))])
        if frame.data and self._chance(self.flips):
            bit = self._random.randrange(len(frame.data) * 8)
            damaged = bytearray(frame.data)
            damaged[bit // 8] ^= 1 << bit % 8
            frame = replace(frame, data=bytes(damaged))
        return frame
