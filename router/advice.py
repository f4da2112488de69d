"""What an operator should do about the fleet, in one sentence: the bottleneck, the figure that shows it, the remedy.

Pure: a situation in, advice out, the most urgent first. Knows nothing of members beyond their pool.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

FULL_SHARE = 0.9
"""Of a pool's blocks: above it new sequences wait or pre-empt others."""
ROOMY_SHARE = 0.3
"""Below it a pool could give a member away."""
LONG_QUEUE_S = 1.0
"""Of prompts at the pool's speed: a client would notice."""
QUARANTINED_SHARE = 0.05
RELIEVED_SHARE = 0.1
"""Of a minute's requests: above it decode members make up for a prefill pool that is too small."""
EXPOSED_SHARE = 0.2
"""Of the time to first token, what a hand-off may add without being the first thing to look at."""


class Urgency(Enum):
    """How soon somebody should look."""

    DOWN = "down"
    SHORT = "short"
    ODD = "odd"
    WELL = "well"


@dataclass(frozen=True, slots=True)
class Pool:
    """The members of one role that take work."""

    num_members: int = 0
    used_share: float = 0.0
    quarantined_share: float = 0.0
    num_running: int = 0
    num_waiting: int = 0
    max_sequences: int = 0
    backlog_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Situation:
    """The fleet now; counts are of the last minute, times its medians. `refused` names the limit that was hit most,
    `relieved_share` is of prompts that decode members computed because the prefill pool would have been late.
    """

    prefill: Pool
    decode: Pool
    num_running: int = 0
    num_waiting: int = 0
    num_refused: int = 0
    refused: str = ""
    num_retries: int = 0
    ttft_ms: float = 0.0
    exposed_ms: float = 0.0
    transport: str = ""
    relieved_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Advice:
    """One sentence."""

    urgency: Urgency
    text: str


def advise(now: Situation) -> tuple[Advice, ...]:
    """At least one; what is short comes before what is odd."""
    found = [*_down(now), *_short(now), *_odd(now)]
    return tuple(found) or (Advice(Urgency.WELL, _well(now)),)


def _down(now: Situation) -> Iterator[Advice]:
    if not now.decode.num_members:
        yield Advice(Urgency.DOWN, "down: no decode member takes work, start or resume one")
    elif not now.prefill.num_members:
        yield Advice(Urgency.SHORT, "no prefill member takes work: decode computes prompts itself, start or resume one")


def _short(now: Situation) -> Iterator[Advice]:
    prefill, decode = now.prefill, now.decode
    decode_bound = decode.used_share >= FULL_SHARE or decode.num_waiting > 0
    prefill_bound = prefill.backlog_s >= LONG_QUEUE_S
    if decode_bound and decode.num_members:
        if decode.used_share < FULL_SHARE and decode.num_running >= decode.max_sequences:
            why = f"{decode.num_running} sequences run and {decode.num_waiting} wait"
        else:
            why = f"KV {_percent(decode.used_share)}"
        yield Advice(Urgency.SHORT, f"decode-bound: {why}, {_remedy('decode', 'prefill', prefill, prefill_bound)}")
    if prefill_bound and prefill.num_members:
        why = f"{prefill.backlog_s:.1f} s of prompts wait"
        yield Advice(Urgency.SHORT, f"prefill-bound: {why}, {_remedy('prefill', 'decode', decode, decode_bound)}")
    elif now.relieved_share >= RELIEVED_SHARE and prefill.num_members:
        why = f"decode members compute {_percent(now.relieved_share)} of the prompts"
        yield Advice(Urgency.SHORT, f"prefill-bound: {why} to keep them in time, add prefill")
    if now.num_refused and not (decode_bound or prefill_bound):
        yield Advice(Urgency.SHORT, f"refusing: {now.num_refused} in the last minute, most by {now.refused}")


def _odd(now: Situation) -> Iterator[Advice]:
    if now.num_retries:
        yield Advice(Urgency.ODD, f"unsteady: {now.num_retries} retries in the last minute, see which leg fails")
    for name, pool in (("prefill", now.prefill), ("decode", now.decode)):
        if pool.quarantined_share >= QUARANTINED_SHARE:
            share = _percent(pool.quarantined_share)
            yield Advice(Urgency.ODD, f"{name}: {share} of the blocks are in quarantine, copies into them do not end")
    if now.ttft_ms and now.exposed_ms >= EXPOSED_SHARE * now.ttft_ms:
        remedy = "use shm on one host" if now.transport == "tcp" else "give decode members cores of their own"
        text = f"hand-off-bound: {now.exposed_ms:.0f} ms over {now.transport} that nothing hides, {remedy}"
        yield Advice(Urgency.ODD, text)


def _remedy(short: str, other: str, pool: Pool, other_bound: bool) -> str:
    """Another member, or one of the other pool if that has plenty."""
    if not other_bound and pool.num_members > 1 and pool.used_share < ROOMY_SHARE:
        return f"add {short}, or turn a {other} member into one: {other} KV is at {_percent(pool.used_share)}"
    return f"add {short}"


def _well(now: Situation) -> str:
    if not now.num_running and not now.num_waiting:
        return "idle: nothing runs and nothing waits"
    return f"well: {now.num_running} run, {now.num_waiting} wait, decode KV {_percent(now.decode.used_share)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
