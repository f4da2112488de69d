"""What a router counts: requests in and out, attempts, hand-offs, tokens, and how long each took.

Plain numbers on the event loop, put into names only when somebody scrapes them: what is counted for every token costs
an addition and a search in a tuple. Knows nothing of scrapes.
"""

from collections import Counter
from dataclasses import dataclass, field

from common.net.errors import row_of
from common.obs.latency import Latency
from common.types.errors import BatonError, Forbidden, InvalidRequest, NotFound, Overloaded, Unauthenticated
from common.types.handoff import FailureKind
from common.types.ids import Role
from router.events import DecodeJoined
from router.policy.route import Reason
from router.timeline import Summary

LEGS = ("queue", "prefill", "handoff", "decode")
ANSWERED, FAILED, CANCELLED = "answered", "failed", "cancelled"
CAPACITY = ("requests", "queue_tokens", "kv_memory")
"""Limits that are the fleet's, not a client's."""


@dataclass(slots=True)
class HandOffs:
    """Those over one transport."""

    num: int = 0
    num_bytes: int = 0
    copy: Latency = field(default_factory=Latency)
    exposed: Latency = field(default_factory=Latency)


class Tally:
    """One router's figures since it started."""

    def __init__(self) -> None:
        self.num_admitted = self.num_continuations = 0
        self.num_prompt_tokens = self.num_cached_tokens = self.num_output_tokens = 0
        self.refused: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.attempts: Counter[str] = Counter()
        self.local: Counter[Reason] = Counter()
        self.leg_failures: Counter[tuple[str, str]] = Counter()
        self.retries: Counter[str] = Counter()
        self.handoffs: dict[str, HandOffs] = {}
        self.ttft, self.itl, self.tpot, self.e2e = Latency(), Latency(), Latency(), Latency()
        self.legs = {leg: Latency() for leg in LEGS}

    def admit(self, num_prompt_tokens: int) -> None:
        self.num_admitted += 1
        self.num_prompt_tokens += num_prompt_tokens

    def refuse(self, error: BatonError) -> None:
        """Before any work was done."""
        match error:
            case Overloaded():
                reason = error.limit
            case InvalidRequest():
                reason = "invalid"
            case NotFound():
                reason = "not_found"
            case Unauthenticated() | Forbidden():
                reason = "key"
            case _:
                reason = "unavailable"
        self.refused[reason] += 1
        self.fail(error)

    def fail(self, error: BatonError) -> None:
        """A client is told so."""
        row = row_of(error)
        leg = str(getattr(error, "leg", "")) or "request"
        self.errors[leg, row.code.name if row else "INTERNAL"] += 1

    def deliver(self, num_tokens: int, since_last_s: float | None, now: float) -> None:
        """Tokens of one message, all at once; their choices wait for the same step and count as one interval."""
        self.num_output_tokens += num_tokens
        if since_last_s is not None:
            self.itl.observe(since_last_s, now)

    def join(self, joined: DecodeJoined, now: float) -> None:
        """An attempt joined the running batch; without a transport nothing was fetched."""
        if joined.transport:
            handoffs = self.handoffs.setdefault(joined.transport, HandOffs())
            handoffs.num += 1
            handoffs.num_bytes += joined.num_bytes
            handoffs.copy.observe(joined.copy_ms / 1000, now)
            handoffs.exposed.observe(joined.exposed_ms / 1000, now)

    def compute_locally(self, reason: Reason) -> None:
        """An attempt whose prompt a decode member computes."""
        self.attempts["local"] += 1
        self.local[reason] += 1

    def leg_failed(self, leg: Role, failure: FailureKind | BatonError) -> None:
        cause = failure.value.replace(" ", "_") if isinstance(failure, FailureKind) else type(failure).__name__.lower()
        self.leg_failures[leg.value, cause] += 1

    def retry(self, leg: Role, *, continues: bool) -> None:
        """Another attempt is made; it continues when the client has tokens already."""
        self.retries[leg.value] += 1
        self.num_continuations += continues

    def end(self, outcome: str, summary: Summary, num_choices: int, now: float) -> None:
        """An admitted request is over. Times of those that were answered are comparable; only they are kept."""
        self.ended[outcome] += 1
        self.num_cached_tokens += summary.num_cached_tokens
        if outcome != ANSWERED:
            return
        times = summary.timings
        self.e2e.observe(times.total_ms / 1000, now)
        for leg, milliseconds in zip(
            LEGS, (times.queue_ms, times.prefill_ms, times.handoff_ms, times.decode_ms), strict=True
        ):
            self.legs[leg].observe(milliseconds / 1000, now)
        num_later = summary.num_output_tokens / num_choices - 1
        if num_later > 0:
            self.tpot.observe((times.handoff_ms + times.decode_ms) / 1000 / num_later, now)
