"""The figures that advice and history are made of, taken from their owners at one moment."""

from collections.abc import Sequence

from common.types.ids import Role
from common.types.member import Load
from router.advice import Pool, Situation
from router.fleet import FleetView
from router.history import Point
from router.membership import Membership
from router.policy.route import Reason
from router.policy.speeds import PRIOR_PREFILL_TOKENS_PER_S
from router.serving import Serving
from router.tally import CAPACITY

WINDOW_S = 60


def point(serving: Serving, fleet: FleetView, now: float) -> Point:
    """One entry of the history."""
    tally, admission, members = serving.tally, serving.admission, fleet.members()
    return Point(
        at=now,
        num_output_tokens=tally.num_output_tokens,
        num_prompt_tokens=tally.num_prompt_tokens,
        num_handoff_bytes=sum(each.num_bytes for each in tally.handoffs.values()),
        num_retries=sum(tally.retries.values()),
        num_refused=sum(tally.refused[limit] for limit in CAPACITY),
        num_ended=sum(tally.ended.values()),
        num_relieved=tally.local[Reason.RELIEF],
        num_running=admission.num_requests - admission.num_waiting,
        num_waiting=admission.num_waiting,
        decode_used=pool(members, Role.DECODE).used_share,
        prefill_used=pool(members, Role.PREFILL).used_share,
    )


def situation(serving: Serving, fleet: FleetView, now: float) -> Situation:
    """What advice is given on."""
    tally, members = serving.tally, fleet.members()
    last, before = point(serving, fleet, now), serving.history.before(now - WINDOW_S)
    exposed = {name: each.exposed.recent(WINDOW_S, now) for name, each in tally.handoffs.items()}
    transport = max(exposed, key=lambda name: exposed[name].total, default="")
    return Situation(
        prefill=pool(members, Role.PREFILL),
        decode=pool(members, Role.DECODE),
        num_running=last.num_running,
        num_waiting=last.num_waiting,
        num_refused=last.num_refused - before.num_refused,
        refused=max(CAPACITY, key=lambda limit: tally.refused[limit]),
        num_retries=last.num_retries - before.num_retries,
        relieved_share=(last.num_relieved - before.num_relieved) / max(1, last.num_ended - before.num_ended),
        ttft_ms=1000 * (tally.ttft.recent(WINDOW_S, now).percentile(0.5) or 0.0),
        exposed_ms=1000 * (exposed[transport].percentile(0.5) or 0.0) if transport else 0.0,
        transport=transport,
    )


def pool(members: Sequence[Membership], role: Role) -> Pool:
    """The members of a role that take work."""
    taking = [each for each in members if each.hello.role is role and not each.draining]
    num_blocks = sum(each.hello.num_blocks for each in taking)
    backlog_tokens = sum(each.load.backlog_tokens for each in taking)
    speed = sum(each.load.prefill_tokens_per_s or PRIOR_PREFILL_TOKENS_PER_S for each in taking)
    return Pool(
        num_members=len(taking),
        used_share=used_share(taking),
        quarantined_share=sum(each.load.num_quarantined_blocks for each in taking) / num_blocks if num_blocks else 0.0,
        num_running=sum(each.load.num_running for each in taking),
        num_waiting=sum(each.load.num_waiting for each in taking),
        max_sequences=sum(each.hello.max_sequences for each in taking),
        backlog_s=backlog_tokens / speed if taking else 0.0,
    )


def used_share(members: Sequence[Membership]) -> float:
    """Of their blocks, those that are neither free nor kept only as prefix cache. A member that has just joined and not
    reported yet has none of either, and is left out.
    """
    known = [each for each in members if each.load != Load()]
    total = sum(each.hello.num_blocks for each in known)
    idle = sum(each.load.num_free_blocks + each.load.num_cached_blocks for each in known)
    return max(0.0, 1 - idle / total) if total else 0.0
