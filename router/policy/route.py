"""Hand-off or local prefill: an estimate of what each costs, this request and those already running there.

A prompt is computed by a decode member when that is clearly cheaper, or when the prefill pool would be late for it.
"""

from dataclasses import dataclass
from enum import Enum

from common.types.errors import BatonError, Unavailable, invalid
from common.types.ids import Role
from router.policy.decode import DecodeScore, choose_decode
from router.policy.local import Goals, Local, best_local, relief
from router.policy.prefill import choose_prefill
from router.policy.snapshot import Explanation, Member, Need, Snapshot
from router.policy.speeds import fetch_ms

ROUND_TRIP_MS = 2.0
LAST_CHUNK_TOKENS = 512
"""Earlier chunks are copied while later ones compute: only the last one's copy is exposed."""
LOCAL_ADVANTAGE = 0.8
"""Local prefill must be this much cheaper: it also delays attempts that have yet to arrive."""


class Mode(Enum):
    """Who computes the prompt: a prefill member that hands its KV off, or the decode member itself."""

    HANDOFF = "hand-off"
    LOCAL = "local prefill"


class Reason(Enum):
    """Why a decode member computes a prompt."""

    CHEAPER = "cheaper"
    RELIEF = "relief"
    NO_PREFILL = "no_prefill"
    RULE = "rule"


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
    reason: Reason | None = None
    """Of a local prefill."""


def choose_route(
    snapshot: Snapshot, need: Need, rule: ModeRule = ModeRule.AUTO, goals: Goals = Goals()
) -> Route | None:
    """None when nobody can take the attempt now. Scoring a prompt needs a prefill member."""
    prefill, why_prefill = choose_prefill(snapshot, need)
    if rule is ModeRule.LOCAL and not need.scores_prompt:
        prefill = None
    local = None if need.scores_prompt or (rule is ModeRule.HANDOFF and prefill) else best_local(snapshot, need)
    if prefill is None:
        if local is None:
            return None
        return _locally(local, Reason.RULE if rule is ModeRule.LOCAL else Reason.NO_PREFILL, (str(local),))
    decode, _ = choose_decode(snapshot, need, prefill.member.hello.layout)
    handoff_ms = prefill.ttft_ms + _exposed_ms(decode, need)
    handoff = f"hand-off: {handoff_ms:.0f} ms (first token {prefill.ttft_ms:.0f} ms on {prefill.member.name})"
    if local is not None:
        if (relieving := relief(snapshot, need, prefill, goals)) is not None:
            return _locally(relieving, Reason.RELIEF, (f"{relieving}; the prefill pool would be late", handoff))
        if local.cost_ms < LOCAL_ADVANTAGE * handoff_ms:
            return _locally(local, Reason.CHEAPER, (str(local), handoff))
    lines = (handoff,) if local is None else (handoff, str(local))
    why = Explanation("mode", Mode.HANDOFF.value, lines)
    return Route(Mode.HANDOFF, prefill.member, prefill.queue_ms, (why, why_prefill))


def why_no_route(snapshot: Snapshot, need: Need) -> BatonError:
    """What to tell the client when `choose_route` found nobody."""
    taking = snapshot.decode if need.needs_decode else snapshot.prefill
    if not taking:
        role = Role.DECODE if need.needs_decode else Role.PREFILL
        known = any(member.hello.role is role for member in snapshot.members)
        return Unavailable(f"no {role.value} member {'takes new work now' if known else 'is up'}", role.value)
    num_tokens = need.num_tokens + need.num_tail_tokens
    if not any(member.can_hold(num_tokens + need.needs_decode) for member in taking):
        return invalid("prompt", f"has {num_tokens} tokens, more than any {taking[0].hello.role.value} member can hold")
    return Unavailable("no prefill member can take this prompt", Role.PREFILL.value)


def _locally(local: Local, reason: Reason, lines: tuple[str, ...]) -> Route:
    why = Explanation("mode", Mode.LOCAL.value, lines)
    return Route(Mode.LOCAL, local.member, local.queue_ms, (why,), reason)


def _exposed_ms(decode: DecodeScore | None, need: Need) -> float:
    """What the hand-off adds after the first token: the last chunk's copy and a round trip."""
    if decode is None:
        return 0.0
    last_chunk = min(decode.member.uncached_tokens(need.num_tokens), LAST_CHUNK_TOKENS)
    return ROUND_TRIP_MS + fetch_ms(decode.member, last_chunk)
