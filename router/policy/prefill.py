"""Which prefill member: the one that is predicted to give the first token soonest."""

from dataclasses import dataclass

from router.policy.decode import candidates
from router.policy.snapshot import Explanation, Member, Need, Snapshot
from router.policy.speeds import prefill_tokens_per_s, queue_ms


@dataclass(frozen=True, slots=True)
class PrefillScore:
    """A candidate, its predicted time to first token and what that is made of."""

    member: Member
    queue_ms: float
    compute_ms: float
    backlog_tokens: float
    uncached_tokens: int

    @property
    def ttft_ms(self) -> float:
        return self.queue_ms + self.compute_ms

    def __str__(self) -> str:
        return (
            f"{self.member.name}: first token in {self.ttft_ms:.0f} ms "
            f"({self.backlog_tokens:.0f} tokens ahead, {self.uncached_tokens} to compute, "
            f"{self.member.num_cached_tokens} cached)"
        )


def choose_prefill(snapshot: Snapshot, need: Need) -> tuple[PrefillScore | None, Explanation]:
    """None when no member can take it; one without a decode member of its own layout cannot."""
    scores = sorted(
        (_score(member, snapshot, need) for member in snapshot.prefill if _can_take(member, snapshot, need)),
        key=lambda score: (score.ttft_ms, score.member.num_attempts, score.member.name),
    )
    best = scores[0] if scores else None
    chosen = best.member.name if best else "nobody"
    return best, Explanation("prefill", chosen, tuple(str(score) for score in scores))


def _can_take(member: Member, snapshot: Snapshot, need: Need) -> bool:
    if not member.can_hold(need.num_tokens):
        return False
    return not need.needs_decode or bool(candidates(snapshot, need, member.hello.layout))


def _score(member: Member, snapshot: Snapshot, need: Need) -> PrefillScore:
    uncached = need.num_tokens if need.scores_prompt else member.uncached_tokens(need.num_tokens)
    speed = prefill_tokens_per_s(member, snapshot)
    ahead = member.backlog_tokens(speed)
    return PrefillScore(member, queue_ms(member, speed), 1000 * uncached / speed, ahead, uncached)
