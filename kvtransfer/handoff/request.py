"""The router's machine for one request: which attempt is current, what was delivered, what to do when a leg fails.

    ADMITTED -> PREFILLING -> ATTACHING -> STREAMING -> DONE | FAILED | CANCELLED

A failure of either leg ends the attempt; the next one continues after the tokens already delivered. `accept_token` is
the only gate to the client. Messages of other attempts than the current one change nothing. It owns no I/O and no
clock, and knows nothing of how members are chosen.
"""

from dataclasses import dataclass, replace
from enum import Enum

from common.types.attempt import Attempt
from common.types.errors import (
    BatonError,
    Cancelled,
    ConstraintFailed,
    DeadlinePassed,
    InvalidRequest,
    NotFound,
    Unavailable,
    invalid,
)
from common.types.handoff import FailureKind
from common.types.ids import AttemptId, Role
from common.types.sampling import SampledToken, TokenLogprobs
from kvtransfer.handoff.continuation import continue_attempt
from kvtransfer.handoff.steps import (
    Attach,
    CancelChoice,
    CancelLegs,
    ChooseDecode,
    ChoosePrefill,
    Done,
    Fail,
    MemberId,
    RequestAction,
    RunPrefill,
)

Failure = FailureKind | BatonError
"""Why a leg failed: what a worker reported, or an error with its own words for the client."""


class RequestState(Enum):
    """Where a request stands in its current attempt; the last three are final."""

    ADMITTED = "admission"
    PREFILLING = "prefill"
    ATTACHING = "hand-off"
    STREAMING = "decode"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = (RequestState.DONE, RequestState.FAILED, RequestState.CANCELLED)


@dataclass(slots=True)
class Legs:
    """What is known of the current attempt's two legs."""

    prefill: MemberId | None = None
    decode: MemberId | None = None
    sealed: bool = False
    corrupt: bool = False
    num_scores: int = 0


class CorruptAttempt(Exception):
    """A leg contradicted what was delivered, or left a gap: end the attempt with `leg_failed`."""


class RequestRun:
    """One request from admission to its end. `attempt` is the current try; its first has nothing delivered yet."""

    __slots__ = (
        "_legs",
        "_max_attempts",
        "_num_scores",
        "_unfinished",
        "attempt",
        "avoid",
        "deadline",
        "delivered",
        "state",
    )

    def __init__(self, attempt: Attempt, now: float, remaining_s: float, max_attempts: int = 3) -> None:
        self.attempt = attempt
        self.deadline = now + remaining_s
        self.state = RequestState.ADMITTED
        self.delivered: dict[int, list[int]] = {choice.index: [] for choice in attempt.choices}
        self._unfinished = frozenset(self.delivered)
        self._max_attempts = max_attempts
        self.avoid: frozenset[MemberId] = frozenset()
        self._num_scores = 0
        self._legs = Legs()

    @property
    def id(self) -> AttemptId:
        return self.attempt.id

    @property
    def ended(self) -> bool:
        return self.state in FINAL

    @property
    def needs_decode(self) -> bool:
        """False when prefill's first tokens are the last ones wanted."""
        tails = len(self.attempt.fresh_choices) < len(self.attempt.choices)
        return tails or self.attempt.sampling.max_tokens - self.attempt.next_index > 1

    def begin(self) -> tuple[RequestAction, ...]:
        """The first attempt."""
        return (ChoosePrefill(self.attempt, self.avoid),)

    def routed_prefill(self, id: AttemptId, member: MemberId, now: float) -> tuple[RequestAction, ...]:
        """A prefill member was chosen."""
        if not self._at(id, RequestState.ADMITTED):
            return ()
        self.state = RequestState.PREFILLING
        self._legs.prefill = member
        return (RunPrefill(self.attempt, member, self.needs_decode, self.deadline - now),)

    def routed_local(self, id: AttemptId, member: MemberId, now: float) -> tuple[RequestAction, ...]:
        """A decode member was chosen that prefills itself."""
        if not self._at(id, RequestState.ADMITTED):
            return ()
        return self._attach(member, now)

    def started(self, id: AttemptId) -> tuple[RequestAction, ...]:
        """Prefill began to compute."""
        if not self._at(id, RequestState.PREFILLING) or self._legs.prefill is None or not self.needs_decode:
            return ()
        return (ChooseDecode(self.attempt, self._legs.prefill, self.avoid),)

    def routed_decode(self, id: AttemptId, member: MemberId, now: float) -> tuple[RequestAction, ...]:
        """A decode member was chosen that fetches."""
        if not self._at(id, RequestState.PREFILLING):
            return ()
        return self._attach(member, now)

    def sealed(self, id: AttemptId) -> None:
        """All blocks are lent: from here on only decode can tell whether prefill is still needed."""
        if id == self.id:
            self._legs.sealed = True

    def joined(self, id: AttemptId) -> None:
        """The attempt is part of decode's batch."""
        if self._at(id, RequestState.ATTACHING):
            self.state = RequestState.STREAMING

    def accept_token(self, id: AttemptId, token: SampledToken) -> bool:
        """Whether this token goes to the client now. Call `settle` after those that end a choice."""
        if (id is not self.attempt.id and id != self.attempt.id) or self.state in FINAL or self._legs.corrupt:
            return False
        choice, index, token_id, _, finish = token
        delivered = self.delivered.get(choice)
        if delivered is None:
            return False
        num_delivered = len(delivered)
        if index < num_delivered:
            if delivered[index] != token_id:
                self._legs.corrupt = True
                raise CorruptAttempt(f"token {index} of choice {choice} came twice and differed")
            return False
        if choice not in self._unfinished:
            return False
        if index > num_delivered:
            self._legs.corrupt = True
            raise CorruptAttempt(f"token {index} of choice {choice} came before {num_delivered}")
        delivered.append(token_id)
        if finish is not None:
            self._unfinished -= {choice}
        return True

    def accept_scores(self, id: AttemptId, scores: tuple[TokenLogprobs, ...]) -> tuple[TokenLogprobs, ...]:
        """Those prompt log probabilities that go to the client now: each once, whatever is computed again."""
        if id != self.id or self.ended:
            return ()
        start, self._legs.num_scores = self._legs.num_scores, self._legs.num_scores + len(scores)
        fresh = scores[max(0, self._num_scores - start) :][: self._num_missing_scores]
        self._num_scores += len(fresh)
        return fresh

    def choice_stopped(self, id: AttemptId, choice: int) -> tuple[RequestAction, ...]:
        """The router found a stop string: what decode still sends for this choice is not wanted."""
        if id != self.id or self.ended or choice not in self._unfinished:
            return ()
        self._unfinished -= {choice}
        if self._unfinished and self._legs.decode is not None:
            return (CancelChoice(self.id, self._legs.decode, choice),)
        return self.settle()

    def settle(self) -> tuple[RequestAction, ...]:
        """Ends the request when all of it was delivered."""
        if self.ended or self._unfinished or self._num_missing_scores:
            return ()
        return self._end(RequestState.DONE, Done())

    def leg_failed(
        self, id: AttemptId, leg: Role, failure: Failure, now: float, *, may_retry: bool
    ) -> tuple[RequestAction, ...]:
        """A leg of this attempt ended without an answer, or could not be chosen (then give the error to show).

        `may_retry` is the fleet's say: its retry budget allows another attempt.
        """
        if id != self.id or self.ended:
            return ()
        if not self._unfinished and not self._num_missing_scores:
            return self.settle()
        if leg is Role.PREFILL and self._left_to_decode():
            return ()
        self._blame(leg, failure)
        exhausted = not may_retry or id.number >= self._max_attempts or not self._unfinished
        if exhausted or _is_final(failure) or now >= self.deadline:
            return self._end(RequestState.FAILED, Fail(self._error(leg, failure, now)))
        cancel = self._cancel_legs()
        self.attempt = self._next_attempt()
        self.state = RequestState.ADMITTED
        self._legs = Legs()
        return (*cancel, ChoosePrefill(self.attempt, self.avoid))

    def cancel(self, reason: str) -> tuple[RequestAction, ...]:
        """The caller gave up, or was too slow a reader."""
        return () if self.ended else self._end(RequestState.CANCELLED, Fail(Cancelled(reason)))

    def tick(self, now: float) -> tuple[RequestAction, ...]:
        """Ends the request when its deadline has passed."""
        if self.ended or now < self.deadline:
            return ()
        return self._end(RequestState.FAILED, Fail(DeadlinePassed(self.state.value)))

    @property
    def _num_missing_scores(self) -> int:
        if self.attempt.sampling.prompt_logprobs is None:
            return 0
        return self.attempt.num_prompt_tokens - 1 - self._num_scores

    def _at(self, id: AttemptId, state: RequestState) -> bool:
        return id == self.id and self.state is state

    def _attach(self, member: MemberId, now: float) -> tuple[RequestAction, ...]:
        self.state = RequestState.ATTACHING
        self._legs.decode = member
        attach = Attach(self.attempt, member, self._legs.prefill, self.deadline - now)
        stopped = [c.index for c in self.attempt.choices if c.index not in self._unfinished]
        return (attach, *(CancelChoice(self.id, member, choice) for choice in stopped))

    def _left_to_decode(self) -> bool:
        """Decode may have all it needs, and reports when it does not."""
        attached = self._legs.sealed and self._legs.decode is not None
        return (attached or self.state is RequestState.STREAMING) and not self._num_missing_scores

    def _blame(self, leg: Role, failure: Failure) -> None:
        at_prefill = leg is Role.PREFILL or failure is FailureKind.SOURCE_LOST
        member = self._legs.prefill if at_prefill else self._legs.decode
        if member is not None:
            self.avoid |= {member}

    def _error(self, leg: Role, failure: Failure, now: float) -> BatonError:
        if isinstance(failure, BatonError):
            return failure
        if failure is FailureKind.DEADLINE or now >= self.deadline:
            return DeadlinePassed(self.state.value)
        if failure is FailureKind.TOO_LARGE:
            return invalid("prompt", "this request does not fit the memory of a worker")
        if failure is FailureKind.CONSTRAINT:
            return ConstraintFailed()
        return Unavailable(f"{leg.value} failed: {failure.value}; no further attempt is left", leg.value)

    def _next_attempt(self) -> Attempt:
        attempt = continue_attempt(self.attempt, {choice: self.delivered[choice] for choice in self._unfinished})
        if self._num_missing_scores:
            return attempt
        return replace(attempt, sampling=replace(attempt.sampling, prompt_logprobs=None))

    def _cancel_legs(self) -> tuple[RequestAction, ...]:
        if self._legs.prefill is None and self._legs.decode is None:
            return ()
        return (CancelLegs(self.id, self._legs.prefill, self._legs.decode),)

    def _end(self, state: RequestState, last: Done | Fail) -> tuple[RequestAction, ...]:
        self.state = state
        return (*self._cancel_legs(), last)


def _is_final(failure: Failure) -> bool:
    """Failures another attempt would meet again."""
    if isinstance(failure, BatonError):
        return isinstance(failure, InvalidRequest | NotFound | DeadlinePassed | Cancelled)
    return failure in (FailureKind.TOO_LARGE, FailureKind.DEADLINE, FailureKind.CONSTRAINT)
