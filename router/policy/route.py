"""Hand-off or local prefill: an estimate of what each costs, this request and those already running there."""

from dataclasses import dataclass
from enum import Enum

from common.types.errors import BatonError, Unavailable, invalid
from common.types.ids import Role
from router.policy.decode import DecodeScore, candidates, choose_decode
from router.policy.prefill import choose_prefill
from router.policy.snapshot import Explanation, Member, Need, Snapshot
from router.policy.speeds import fetch_ms, local_prefill_tokens_per_s

ROUND_TRIP_MS = 2.0
LAST_CHUNK_TOKENS = 512
"""Earlier chunks are copied while later ones compute: only the last one's copy is exposed."""
LOCAL_ADVANTAGE = 0.8
"""Local prefill must be this much cheaper: it also delays attempts that have yet to arrive."""


class Mode(Enum):
    """Who computes the prompt: a prefill member that hands its KV off, or the decode member itself."""

    HANDOFF = "hand-off"
    LOCAL = "local prefill"


class ModeRule(Enum):
    """What the operator allows."""

    AUTO = "auto"
    HANDOFF = "handoff"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Route:
    """Where an attempt goes first. The decode member of a hand-off is chosen later, when prefill has started."""

    mode: Mode
    member: Member
    queue_ms: float
    explanations: tuple[Explanation, ...]


@dataclass(frozen=True, slots=True)
class Local:
    """What prefilling on a decode member costs."""

    member: Member
    queue_ms: float
    compute_ms: float

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


def choose_route(snapshot: Snapshot, need: Need, rule: ModeRule = ModeRule.AUTO) -> Route | None:
    """None when nobody can take the attempt now. Scoring a prompt needs a prefill member."""
    prefill, why_prefill = choose_prefill(snapshot, need)
    if rule is ModeRule.LOCAL and not need.scores_prompt:
        prefill = None
    local = None if need.scores_prompt or (rule is ModeRule.HANDOFF and prefill) else _best_local(snapshot, need)
    if prefill is None and local is None:
        return None
    lines = []
    if prefill is not None:
        decode, _ = choose_decode(snapshot, need, prefill.member.hello.layout)
        handoff_ms = prefill.ttft_ms + _exposed_ms(decode, need)
        lines.append(f"hand-off: {handoff_ms:.0f} ms (first token {prefill.ttft_ms:.0f} ms on {prefill.member.name})")
    if local is not None:
        lines.append(
            f"local prefill: {local.cost_ms:.0f} ms (first token {local.ttft_ms:.0f} ms on {local.member.name}, "
            f"{local.harm_ms:.0f} ms of delay to what runs there)"
        )
    if local is not None and (prefill is None or local.cost_ms < LOCAL_ADVANTAGE * handoff_ms):
        why = Explanation("mode", Mode.LOCAL.value, tuple(reversed(lines)))
        return Route(Mode.LOCAL, local.member, local.queue_ms, (why,))
    if prefill is None:
        return None
    why = Explanation("mode", Mode.HANDOFF.value, tuple(lines))
    return Route(Mode.HANDOFF, prefill.member, prefill.queue_ms, (why, why_prefill))


def why_no_route(snapshot: Snapshot, need: Need) -> BatonError:
    """What to tell the client when `choose_route` found nobody."""
    taking = snapshot.decode if need.needs_decode else snapshot.prefill
    if not taking:
        leg = Role.DECODE.value if need.needs_decode else Role.PREFILL.value
        return Unavailable(f"no {leg} member is up", leg)
    num_tokens = need.num_tokens + need.num_tail_tokens
    if not any(member.can_hold(num_tokens + need.needs_decode) for member in taking):
        return invalid("prompt", f"has {num_tokens} tokens, more than any {taking[0].hello.role.value} member can hold")
    return Unavailable("no prefill member can take this prompt", Role.PREFILL.value)


def _exposed_ms(decode: DecodeScore | None, need: Need) -> float:
    """What the hand-off adds after the first token: the last chunk's copy and a round trip."""
    if decode is None:
        return 0.0
    last_chunk = min(decode.member.uncached_tokens(need.num_tokens), LAST_CHUNK_TOKENS)
    return ROUND_TRIP_MS + fetch_ms(decode.member, last_chunk)


def _best_local(snapshot: Snapshot, need: Need) -> Local | None:
    """Members with room first."""
    costs = []
    for member in candidates(snapshot, need, None):
        token_ms = 1000 / local_prefill_tokens_per_s(member, snapshot)
        backlog = member.load.backlog_tokens + member.sent_tokens
        local = Local(member, backlog * token_ms, member.uncached_tokens(need.num_tokens) * token_ms)
        missing = max(0, need.blocks(member.hello.block_tokens) - member.num_available_blocks)
        costs.append((missing, local.cost_ms, member.name, local))
    return min(costs, key=lambda cost: cost[:3])[3] if costs else None
