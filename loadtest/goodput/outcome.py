"""What became of the requests of one run, in the figures their clients would see."""

from collections.abc import Sequence
from dataclasses import dataclass

from router.policy.local import Goals
from router.policy.route import Reason


@dataclass(slots=True)
class Served:
    """One request's times, in seconds since the world began. `reason` is why decode computed its prompt, if it did."""

    arrived: float
    reason: Reason | None
    first: float = 0.0
    last: float = 0.0
    num_tokens: int = 0
    decode: str = ""

    @property
    def ttft_ms(self) -> float:
        return 1000 * (self.first - self.arrived)

    @property
    def tpot_ms(self) -> float:
        return 1000 * (self.last - self.first) / max(1, self.num_tokens - 1)

    def keeps(self, goals: Goals) -> bool:
        return self.ttft_ms <= goals.ttft_ms and self.tpot_ms <= goals.tpot_ms


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run in one line."""

    goodput: float
    kept_share: float
    relieved_share: float
    local_share: float
    ttft_p50_ms: float
    ttft_p99_ms: float
    tpot_p99_ms: float
    longest_step_ms: float

    @classmethod
    def of(cls, served: Sequence[Served], duration_s: float, goals: Goals, longest_step_s: float) -> "Outcome":
        kept = sum(each.keeps(goals) for each in served)
        ttft = sorted(each.ttft_ms for each in served)
        return cls(
            goodput=kept / duration_s,
            kept_share=kept / len(served),
            relieved_share=sum(each.reason is Reason.RELIEF for each in served) / len(served),
            local_share=sum(each.reason is not None for each in served) / len(served),
            ttft_p50_ms=ttft[len(ttft) // 2],
            ttft_p99_ms=ttft[int(0.99 * len(ttft))],
            tpot_p99_ms=sorted(each.tpot_ms for each in served)[int(0.99 * len(served))],
            longest_step_ms=1000 * longest_step_s,
        )

    def __str__(self) -> str:
        return (
            f"{self.goodput:5.2f} good/s ({100 * self.kept_share:3.0f} %)  TTFT {self.ttft_p50_ms:6.0f} p50 "
            f"{self.ttft_p99_ms:6.0f} p99  TPOT {self.tpot_p99_ms:5.1f} p99  step {self.longest_step_ms:4.0f} ms  "
            f"{100 * self.relieved_share:3.0f} % relieved, {100 * self.local_share:3.0f} % local"
        )
