"""What to believe of a member's speed before it has measured it.

A pool is made of like machines: a member without a measurement is taken to be as fast as those that have one, and only
a pool without any falls back on a constant.
"""

from collections.abc import Iterable

from router.policy.snapshot import Member, Snapshot

PRIOR_PREFILL_TOKENS_PER_S = 1000.0
PRIOR_STEP_MS = 20.0
PRIOR_FETCH_BYTES_PER_S = 1e9
LOCAL_PREFILL_SHARE = 0.5
"""Speed of chunks mixed into decode steps, against a member that does nothing but prefill, until measured."""
STEP_KNEE_SEQUENCES = 16
"""A step with this many sequences takes about twice as long as one with a single sequence."""


def prefill_tokens_per_s(member: Member, snapshot: Snapshot) -> float:
    """Speed of a prefill member.

    One that has nothing to do is taken to be no slower than decode members compute prompts beside their rows. Its last
    measurement may have been disturbed, and only prompts can correct it: were it believed, none might ever come.
    """
    speed = member.load.prefill_tokens_per_s or _mean(
        (peer.load.prefill_tokens_per_s for peer in snapshot.prefill), PRIOR_PREFILL_TOKENS_PER_S
    )
    if member.backlog_tokens(speed):
        return speed
    return max(speed, max((peer.load.prefill_tokens_per_s for peer in snapshot.decode), default=0.0))


def local_prefill_tokens_per_s(member: Member, snapshot: Snapshot) -> float:
    """Speed at which a decode member computes prompts itself."""
    if member.load.prefill_tokens_per_s:
        return member.load.prefill_tokens_per_s
    pool = _mean((peer.load.prefill_tokens_per_s for peer in snapshot.prefill), PRIOR_PREFILL_TOKENS_PER_S)
    return _mean((peer.load.prefill_tokens_per_s for peer in snapshot.decode), pool * LOCAL_PREFILL_SHARE)


def queue_ms(member: Member, tokens_per_s: float) -> float:
    """Until a prompt that is sent now begins to be computed, at this speed."""
    return 1000 * member.backlog_tokens(tokens_per_s) / tokens_per_s


def step_ms(member: Member, snapshot: Snapshot, num_more: int) -> float:
    """Time of a decode step once `num_more` sequences have joined those it has and those on their way."""
    lone_ms = _lone_step_ms(member) or _mean((_lone_step_ms(peer) for peer in snapshot.decode), PRIOR_STEP_MS)
    return lone_ms * (1 + (member.num_sequences + num_more) / STEP_KNEE_SEQUENCES)


def _lone_step_ms(member: Member) -> float:
    """A step without company. An idle member's last measurement says nothing: its batch is forgotten."""
    if not member.load.num_running:
        return 0.0
    return member.load.step_ms / (1 + member.load.num_running / STEP_KNEE_SEQUENCES)


def fetch_ms(member: Member, num_tokens: int) -> float:
    """Time to copy these tokens' KV into a decode member."""
    token_bytes = member.hello.block_bytes / member.hello.block_tokens
    return 1000 * num_tokens * token_bytes / (member.load.fetch_bytes_per_s or PRIOR_FETCH_BYTES_PER_S)


def _mean(measured: Iterable[float], otherwise: float) -> float:
    known = [value for value in measured if value > 0]
    return sum(known) / len(known) if known else otherwise
