"""What became of the requests of one run, in the figures their clients would see."""

from collections.abc import Sequence
from dataclasses import dataclass, field

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
    pauses: list[float] = field(default_factory=list)

    def token(self, now: float, index: int) -> None:
        """The first token comes twice when it was handed off: only later ones make a pause."""
        if not self.first:
            self.first = now
        elif index:
            self.pauses.append(now - self.last)
        self.last, self.num_tokens = now, index + 1

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
    itl_p50_ms: float
    itl_p99_ms: float
    longest_step_ms: float

    @classmethod
    def of(
        cls, served: Sequence[Served], streams: Sequence[Served], duration_s: float, goals: Goals, longest_step_s: float
    ) -> "Outcome":
        """Pauses are those of the streams, where there are any."""
        pauses = sorted(1000 * pause for each in streams or served for pause in each.pauses)
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
            itl_p50_ms=pauses[len(pauses) // 2],
            itl_p99_ms=pauses[int(0.99 * len(pauses))],
            longest_step_ms=1000 * longest_step_s,
        )

    def __str__(self) -> str:
        return (
            f"{self.goodput:5.2f} good/s ({100 * self.kept_share:3.0f} %)  TTFT {self.ttft_p50_ms:6.0f} p50 "
            f"{self.ttft_p99_ms:6.0f} p99  TPOT {self.tpot_p99_ms:5.1f} p99  ITL {self.itl_p50_ms:5.1f} p50 "
            f"{self.itl_p99_ms:5.1f} p99  "
            f"{100 * self.relieved_share:3.0f} % relieved, {100 * self.local_share:3.0f} % local"
        )
