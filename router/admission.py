"""Who gets in. Pure token counting: what a request will cost is charged before any work, refusals cost nothing.

Owns the tokens of admitted requests, the measured speed at which they leave, and the retry budget. Knows nothing of
members: it is told how many tokens the fleet can hold.
"""

import math
from dataclasses import dataclass

from common.types.errors import Overloaded
from router.policy.snapshot import EXPECTED_OUTPUT_TOKENS

DRAIN_WINDOW_S = 10.0
MIN_RETRY_AFTER_MS = 50
MAX_RETRY_AFTER_MS = 30_000
UNMEASURED_RETRY_AFTER_MS = 1000


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request takes: its prompt once, and what its answers are expected to add."""

    prompt_tokens: int
    output_tokens: int

    @classmethod
    def of(cls, num_prompt_tokens: int, max_tokens: int, num_choices: int) -> "Cost":
        return cls(num_prompt_tokens, num_choices * min(max_tokens, EXPECTED_OUTPUT_TOKENS))

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


class DrainRate:
    """Tokens per second that left lately: every departure counts for about `DRAIN_WINDOW_S`."""

    def __init__(self, now: float) -> None:
        self._tokens, self._at, self._since = 0.0, now, now

    def add(self, tokens: int, now: float) -> None:
        self._decay(now)
        self._tokens += tokens

    def per_s(self, now: float) -> float:
        """A young rate is not divided by a window it has not lived through."""
        self._decay(now)
        return self._tokens / max(0.1, DRAIN_WINDOW_S * (1 - math.exp((self._since - now) / DRAIN_WINDOW_S)))

    def _decay(self, now: float) -> None:
        self._tokens *= math.exp((self._at - now) / DRAIN_WINDOW_S)
        self._at = now


class Admission:
    """Two counts with a bound each: tokens that wait for prefill, and tokens the decode pool will have to hold.

    A request alone is always admitted: whether the fleet can hold it at all is decided elsewhere.
    """

    def __init__(self, max_requests: int, max_queue_tokens: int, now: float) -> None:
        self._max_requests = max_requests
        self._max_queue_tokens = max_queue_tokens
        self.num_requests = 0
        self.num_waiting = 0
        self.num_waiting_tokens = 0
        self.num_held_tokens = 0
        self._prefilled = DrainRate(now)
        self._finished = DrainRate(now)

    def admit(self, cost: Cost, capacity_tokens: int, now: float) -> "Ticket":
        """Raises `Overloaded` with a time after which, at the present speed, there will be room."""
        self.check(now)
        if self.num_requests:
            waiting = self.num_waiting_tokens + cost.prompt_tokens - self._max_queue_tokens
            if waiting > 0:
                retry_after_ms = self._retry_after_ms(waiting, self._prefilled, now)
                raise Overloaded("too many prompt tokens wait", retry_after_ms, "queue_tokens")
            held = self.num_held_tokens + cost.tokens - capacity_tokens - self._max_queue_tokens
            if held > 0:
                retry_after_ms = self._retry_after_ms(held, self._finished, now)
                raise Overloaded("the fleet's KV memory is spoken for", retry_after_ms, "kv_memory")
        self.num_requests += 1
        self.num_waiting += 1
        self.num_waiting_tokens += cost.prompt_tokens
        self.num_held_tokens += cost.tokens
        return Ticket(self, cost)

    def check(self, now: float) -> None:
        """The part of `admit` that needs no look at the request."""
        if self.num_requests >= self._max_requests:
            share = self.num_held_tokens // self.num_requests
            raise Overloaded("too many requests at once", self._retry_after_ms(share, self._finished, now))

    def _leave_queue(self, cost: Cost, now: float) -> None:
        self.num_waiting -= 1
        self.num_waiting_tokens -= cost.prompt_tokens
        self._prefilled.add(cost.prompt_tokens, now)

    def _leave(self, cost: Cost, now: float) -> None:
        self.num_requests -= 1
        self.num_held_tokens -= cost.tokens
        self._finished.add(cost.tokens, now)

    @staticmethod
    def _retry_after_ms(tokens: int, rate: DrainRate, now: float) -> int:
        per_s = rate.per_s(now)
        if per_s < 1:
            return UNMEASURED_RETRY_AFTER_MS
        return max(MIN_RETRY_AFTER_MS, min(MAX_RETRY_AFTER_MS, math.ceil(1000 * tokens / per_s)))


class Ticket:
    """One admitted request; gives back what it was charged, each part once however often it is told."""

    def __init__(self, admission: Admission, cost: Cost) -> None:
        self._admission, self.cost = admission, cost
        self._waiting, self._admitted = True, True

    def prefilled(self, now: float) -> None:
        """The first token is there: the prompt no longer waits."""
        if self._waiting:
            self._waiting = False
            self._admission._leave_queue(self.cost, now)

    def close(self, now: float) -> None:
        """The request is over, however it ended."""
        self.prefilled(now)
        if self._admitted:
            self._admitted = False
            self._admission._leave(self.cost, now)


class RetryBudget:
    """Retries are a share of the requests, so that a sick fleet is not buried under second tries.

    The burst lets one lost member's whole batch move; a trickle keeps a quiet fleet able to retry at all.
    """

    def __init__(self, share: float, burst: float, now: float, per_s: float = 1.0) -> None:
        self._share, self._burst, self._per_s = share, burst, per_s
        self._tokens, self._at = burst, now

    def request(self, now: float) -> None:
        """A request was admitted: it pays for its share of a retry."""
        self._refill(now)
        self._tokens = min(self._burst, self._tokens + self._share)

    def allows(self, now: float) -> bool:
        """Whether one retry may be made now."""
        self._refill(now)
        return self._tokens >= 1

    def take(self, now: float) -> None:
        """One retry is made."""
        self._refill(now)
        self._tokens -= 1

    def _refill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._per_s)
        self._at = max(self._at, now)
