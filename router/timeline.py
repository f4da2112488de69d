"""When things happened to one request, on the router's clock, and what that makes of its time."""

from dataclasses import dataclass

from common.obs.traces import Leg
from router.policy.snapshot import Explanation


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds; the names are those of the wire."""

    queue_ms: float
    prefill_ms: float
    handoff_ms: float
    decode_ms: float
    ttft_ms: float
    total_ms: float

    def legs(self) -> tuple[Leg, ...]:
        """The parts that took time, one after the other, for who draws them."""
        left_ms, legs = self.total_ms, []
        parts = {
            "queue": self.queue_ms,
            "prefill": self.prefill_ms,
            "handoff": self.handoff_ms,
            "decode": self.decode_ms,
        }
        for name, part_ms in parts.items():
            if part_ms > 0:
                legs.append(Leg(name, left_ms / 1000, part_ms / 1000))
            left_ms -= part_ms
        return tuple(legs)


@dataclass(frozen=True, slots=True)
class Summary:
    """What the last message of an answered request says."""

    num_prompt_tokens: int
    num_cached_tokens: int
    num_output_tokens: int
    timings: Timings
    num_attempts: int
    explanations: tuple[Explanation, ...]


class Timeline:
    """The first time of each thing counts: what a later attempt repeats, the client has already waited for."""

    __slots__ = ("_arrived", "_first_token", "_joined", "_started", "last_token")

    def __init__(self, arrived: float) -> None:
        self._arrived = arrived
        self._started: float | None = None
        self._first_token: float | None = None
        self._joined: float | None = None
        self.last_token: float | None = None

    def started(self, now: float) -> None:
        if self._started is None:
            self._started = now

    def token(self, now: float) -> bool:
        """Whether it was the first."""
        self.last_token = now
        if self._first_token is None:
            self._first_token = now
            return True
        return False

    def joined(self, now: float) -> None:
        if self._joined is None:
            self._joined = now

    def timings(self, now: float) -> Timings:
        """What has not happened takes no time. The parts never overlap: prefill ends with the first token."""
        end = self.last_token if self.last_token is not None else now
        first = self._first_token if self._first_token is not None else end
        started = min(self._started if self._started is not None else self._arrived, first)
        joined = min(max(first, self._joined), end) if self._joined is not None else end
        return Timings(
            queue_ms=1000 * (started - self._arrived),
            prefill_ms=1000 * (first - started),
            handoff_ms=1000 * (joined - first) if self._joined is not None else 0.0,
            decode_ms=1000 * (end - joined),
            ttft_ms=1000 * (first - self._arrived),
            total_ms=1000 * (now - self._arrived),
        )
