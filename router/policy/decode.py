"""Which decode member: one whose blocks suffice, and there the one that is predicted to finish the answer soonest."""

from dataclasses import dataclass

from router.policy.snapshot import Explanation, Member, Need, Snapshot
from router.policy.speeds import fetch_ms, step_ms


@dataclass(frozen=True, slots=True)
class DecodeScore:
    """A candidate: how many blocks it lacks, and the predicted time of fetching and generating."""

    member: Member
    missing_blocks: int
    answer_ms: float
    step_ms: float

    def __str__(self) -> str:
        room = f"{self.missing_blocks} blocks short" if self.missing_blocks else "enough blocks"
        return (
            f"{self.member.name}: {room}, answer in {self.answer_ms:.0f} ms "
            f"({self.member.num_sequences} sequences, {self.step_ms:.1f} ms a step, "
            f"{self.member.num_cached_tokens} tokens cached)"
        )


def choose_decode(snapshot: Snapshot, need: Need, layout: str | None) -> tuple[DecodeScore | None, Explanation]:
    """The member with room, or the least short one; None when none of this layout can ever hold the attempt."""
    scores = sorted(
        (_score(member, snapshot, need) for member in candidates(snapshot, need, layout)),
        key=lambda score: (score.missing_blocks, score.answer_ms, score.member.num_attempts, score.member.name),
    )
    best = scores[0] if scores else None
    chosen = best.member.name if best else "nobody"
    return best, Explanation("decode", chosen, tuple(str(score) for score in scores))


def candidates(snapshot: Snapshot, need: Need, layout: str | None) -> tuple[Member, ...]:
    """Decode members that could hold the attempt if they were empty; any layout when None."""
    num_tokens = need.num_tokens + need.num_tail_tokens + 1
    return tuple(
        member
        for member in snapshot.decode
        if member.can_hold(num_tokens) and (layout is None or member.hello.layout == layout)
    )


def _score(member: Member, snapshot: Snapshot, need: Need) -> DecodeScore:
    block_tokens = member.hello.block_tokens
    wanted = need.blocks(block_tokens) - member.num_cached_tokens // block_tokens
    step = step_ms(member, snapshot, need.num_choices)
    waiting_ms = fetch_ms(member, member.uncached_tokens(need.num_tokens))
    return DecodeScore(
        member=member,
        missing_blocks=max(0, wanted - member.num_available_blocks),
        answer_ms=waiting_ms + need.expected_output_tokens * step,
        step_ms=step,
    )
