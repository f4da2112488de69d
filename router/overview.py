"""The fleet as an operator looks at it: plain data for a page, a terminal or a script, and the advice on top.

Reads who owns the figures; names no address. Durations are in milliseconds here, as people speak of them.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from common.obs.latency import Counts, Latency
from common.types.ids import Role
from router.advice import advise
from router.fleet import FleetView
from router.membership import Membership
from router.serving import Serving
from router.situation import WINDOW_S, point, pool, situation, used_share
from router.tally import Tally

HISTORY_S, STEP_S = 300, 5
RECORD_S = 1.0
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


async def keep_history(serving: Serving, fleet: FleetView) -> None:
    """A point a second, until it is cancelled."""
    while True:
        serving.history.record(point(serving, fleet, time.monotonic()))
        await asyncio.sleep(RECORD_S)


def overview(serving: Serving, fleet: FleetView, now: float) -> dict[str, Any]:
    """Everything `/fleet` says, ready for JSON."""
    members = fleet.members()
    advice = advise(situation(serving, fleet, now))
    return {
        "model": serving.model.id,
        "ready": serving.ready,
        "advice": advice[0].text,
        "all_advice": [{"urgency": each.urgency.value, "text": each.text} for each in advice],
        "requests": _requests(serving),
        "rates": _rates(serving, now),
        "latency": {name: _percentiles(latency.recent(WINDOW_S, now)) for name, latency in _latencies(serving.tally)},
        "legs": {leg: _percentiles(latency.recent(WINDOW_S, now)) for leg, latency in serving.tally.legs.items()},
        "handoffs": {name: _handoffs(serving.tally, name, now) for name in sorted(serving.tally.handoffs)},
        "pools": {role.value: _pool(members, role) for role in Role},
        "members": [_member(each, now) for each in members],
        "history": _history(serving, now),
    }


def _latencies(tally: Tally) -> Sequence[tuple[str, Latency]]:
    return (("ttft_ms", tally.ttft), ("itl_ms", tally.itl), ("tpot_ms", tally.tpot), ("e2e_ms", tally.e2e))


def _requests(serving: Serving) -> dict[str, Any]:
    tally, admission = serving.tally, serving.admission
    return {
        "waiting": admission.num_waiting,
        "running": admission.num_requests - admission.num_waiting,
        "queue_tokens": admission.num_waiting_tokens,
        "held_tokens": admission.num_held_tokens,
        "admitted": tally.num_admitted,
        "ended": dict(tally.ended),
        "refused": dict(tally.refused),
        "retries": sum(tally.retries.values()),
        "continuations": tally.num_continuations,
    }


def _rates(serving: Serving, now: float) -> dict[str, float]:
    """A second's worth, over the last ten: what a speedometer shows."""
    rate = serving.history.rate
    return {
        "requests_per_s": rate(lambda at: at.num_ended, 10, now),
        "prompt_tokens_per_s": rate(lambda at: at.num_prompt_tokens, 10, now),
        "output_tokens_per_s": rate(lambda at: at.num_output_tokens, 10, now),
        "handoff_bytes_per_s": rate(lambda at: at.num_handoff_bytes, 10, now),
    }


def _handoffs(tally: Tally, transport: str, now: float) -> dict[str, Any]:
    handoffs = tally.handoffs[transport]
    return {
        "count": handoffs.num,
        "bytes": handoffs.num_bytes,
        "copy_ms": _percentiles(handoffs.copy.recent(WINDOW_S, now)),
        "exposed_ms": _percentiles(handoffs.exposed.recent(WINDOW_S, now)),
    }


def _percentiles(counts: Counts) -> dict[str, float | None]:
    return {"count": counts.total} | {name: _ms(counts.percentile(share)) for name, share in PERCENTILES.items()}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 3)


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _pool(members: Sequence[Membership], role: Role) -> dict[str, Any]:
    found = pool(members, role)
    return {
        "members": found.num_members,
        "used_share": round(found.used_share, 4),
        "running": found.num_running,
        "waiting": found.num_waiting,
        "max_sequences": found.max_sequences,
        "backlog_s": round(found.backlog_s, 3),
    }


def _member(membership: Membership, now: float) -> dict[str, Any]:
    hello, load = membership.hello, membership.load
    busy_s = load.steps.kernel_s + load.steps.other_s
    return {
        "name": hello.member,
        "role": hello.role.value,
        "state": "draining" if membership.draining else "serving",
        "silence_ms": round(1000 * max(0.0, now - membership.reported_at)),
        "attempts": len(membership.placements),
        "running": load.num_running,
        "waiting": load.num_waiting,
        "max_sequences": hello.max_sequences,
        "backlog_tokens": load.backlog_tokens,
        "blocks": {
            "total": hello.num_blocks,
            "free": load.num_free_blocks,
            "cached": load.num_cached_blocks,
            "owned": load.num_owned_blocks,
            "sealed": load.num_sealed_blocks,
            "quarantined": load.num_quarantined_blocks,
        },
        "used_share": round(used_share((membership,)), 4),
        "oldest_cached_s": round(load.oldest_cached_s, 1),
        "step_ms": round(load.step_ms, 3),
        "outside_kernels_share": _share(load.steps.other_s, busy_s),
        "prefix_hit_share": _share(load.steps.num_hit_tokens, load.steps.num_queried_tokens),
        "preemptions": load.steps.num_preempted,
        "prefill_tokens_per_s": round(load.prefill_tokens_per_s, 1),
        "fetch_bytes_per_s": round(load.fetch_bytes_per_s),
        "transports": list(hello.transports),
    }


def _history(serving: Serving, now: float) -> dict[str, Any]:
    """One entry a step, oldest first, the last one ending now."""
    history, span = serving.history, (HISTORY_S, STEP_S)
    times = {name: latency.history(*span, now) for name, latency in _latencies(serving.tally)[:2]}
    return {
        "step_s": STEP_S,
        **{
            f"{name.removesuffix('_ms')}_{key}_ms": [_ms(step.percentile(share)) for step in steps]
            for name, steps in times.items()
            for key, share in PERCENTILES.items()
        },
        "output_tokens_per_s": history.rates(lambda at: at.num_output_tokens, *span, now),
        "handoff_bytes_per_s": history.rates(lambda at: at.num_handoff_bytes, *span, now),
        "running": history.levels(lambda at: at.num_running, *span, now),
        "waiting": history.levels(lambda at: at.num_waiting, *span, now),
        "decode_used_share": history.levels(lambda at: at.decode_used, *span, now),
        "prefill_used_share": history.levels(lambda at: at.prefill_used, *span, now),
    }
