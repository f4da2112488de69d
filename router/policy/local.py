"""Prompts that a decode member computes itself: what that costs, and when it relieves a prefill pool that is late."""

from dataclasses import dataclass

from router.policy.decode import candidates
from router.policy.prefill import PrefillScore
from router.policy.snapshot import Member, Need, Snapshot
from router.policy.speeds import local_prefill_tokens_per_s, queue_ms, step_ms

PATIENCE = 0.8
"""Of the goal for the first token, what may be predicted before another way is looked for: predictions are rough, and
a prompt that is late by the goal has been late for a while."""
STEP_SHARE = 0.85
"""Of the goal for a token, what a step may take: the way to the client takes its part."""


@dataclass(frozen=True, slots=True)
class Goals:
    """What the operator promises clients, in the two figures they feel; 0 promises nothing."""

    ttft_ms: float = 1000.0
    tpot_ms: float = 60.0


@dataclass(frozen=True, slots=True)
class Local:
    """What prefilling on a decode member costs. `step_ms` is a step without prompts, once this one has joined."""

    member: Member
    queue_ms: float
    compute_ms: float
    step_ms: float
    missing_blocks: int = 0

    @property
    def ttft_ms(self) -> float:
        return self.queue_ms + self.compute_ms

    @property
    def harm_ms(self) -> float:
        """Every sequence in a batch waits while a prompt is mixed into its steps."""
        return self.member.num_sequences * self.compute_ms

    @property
    def cost_ms(self) -> float:
        return self.ttft_ms + self.harm_ms

    def __str__(self) -> str:
        return (
            f"local prefill: {self.cost_ms:.0f} ms (first token {self.ttft_ms:.0f} ms on {self.member.name}, "
            f"{self.harm_ms:.0f} ms of delay to what runs there)"
        )


def best_local(snapshot: Snapshot, need: Need) -> Local | None:
    """The decode member on which it costs least, those with room first."""
    found = [_local(member, snapshot, need) for member in candidates(snapshot, need, None)]
    return min(found, key=lambda local: (local.missing_blocks, local.cost_ms, local.member.name), default=None)


def relief(snapshot: Snapshot, need: Need, pool: PrefillScore, goals: Goals) -> Local | None:
    """The decode member that takes a prompt for which the prefill pool would be late; None to leave it to the pool.

    `pool` is the best it has to offer: with nothing ahead there it is not late, however long the prompt. The decode
    member must give the first token sooner, have room, and have steps that leave time for chunks within the goal for a
    token; how large those chunks are is its own business.
    """
    if not goals.ttft_ms or not pool.backlog_tokens or pool.ttft_ms <= PATIENCE * goals.ttft_ms:
        return None
    limit_ms = STEP_SHARE * goals.tpot_ms
    found = [_local(member, snapshot, need) for member in candidates(snapshot, need, None)]
    fit = [
        local
        for local in found
        if not local.missing_blocks and local.ttft_ms < pool.ttft_ms and (local.step_ms <= limit_ms or not limit_ms)
    ]
    return min(fit, key=lambda local: (local.ttft_ms, local.member.num_sequences, local.member.name), default=None)


def _local(member: Member, snapshot: Snapshot, need: Need) -> Local:
    speed = local_prefill_tokens_per_s(member, snapshot)
    cached_blocks = member.num_cached_tokens // member.hello.block_tokens
    return Local(
        member=member,
        queue_ms=queue_ms(member, speed),
        compute_ms=1000 * member.uncached_tokens(need.num_tokens) / speed,
        step_ms=step_ms(member, snapshot, need.num_choices),
        missing_blocks=max(0, need.blocks(member.hello.block_tokens) - cached_blocks - member.num_available_blocks),
    )
