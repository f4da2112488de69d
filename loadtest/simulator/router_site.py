"""A simulated router: the real `RequestRun` of each request, and a log of every token a client was given."""

from collections.abc import Iterable

from common.engine.messages import FirstTokens, Joined, Started
from common.types.errors import BatonError, Unavailable
from common.types.handoff import FailureKind, LoanEnd
from common.types.ids import AttemptId, Role
from common.types.sampling import SampledToken
from kvtransfer.handoff.actions import Closed, Report
from kvtransfer.handoff.request import CorruptAttempt, RequestRun
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
from loadtest.simulator import words
from loadtest.simulator.words import Cancel, Lent, Message, Refusal, Tokens, Violation

Delivery = tuple[int, SampledToken]
"""The number of the attempt that delivered, and what."""


class RouterSite:
    """One process. Every method returns the messages it sends."""

    def __init__(self, me: MemberId) -> None:
        self.me = me
        self.runs: dict[str, RequestRun] = {}
        self.legs: dict[AttemptId, dict[MemberId, Role]] = {}
        self.choosing: dict[AttemptId, Role] = {}
        self.log: dict[str, tuple[Delivery, ...]] = {}
        self.errors: dict[str, BatonError | None] = {}
        self.ended_at: dict[str, float] = {}

    def admit(self, run: RequestRun, now: float) -> None:
        self.runs[run.id.request_id] = run
        self.log[run.id.request_id] = ()
        self._perform(run, run.begin(), now)

    def route(self, id: AttemptId, member: MemberId, now: float, *, local: bool = False) -> list[Message]:
        """The driver chose a member for what `choosing` asks."""
        run = self.runs[id.request_id]
        if self.choosing.pop(id) is Role.DECODE:
            return self._perform(run, run.routed_decode(id, member, now), now)
        route = run.routed_local if local else run.routed_prefill
        return self._perform(run, route(id, member, now), now)

    def unroutable(self, id: AttemptId, now: float) -> list[Message]:
        """There was no member to choose."""
        leg = self.choosing.pop(id)
        return self.fail(id, leg, Unavailable("no member is there", leg.value), now, may_retry=False)

    def receive(self, message: Message, now: float) -> list[Message]:
        """One message off the wire, of this epoch: it counts only on the call or session it belongs to."""
        body = message.body
        match body:
            case (
                Started(id)
                | FirstTokens(id)
                | Lent(id)
                | Closed(id)
                | Refusal(id)
                | Joined(id)
                | Tokens(id)
                | Report(id)
            ):
                run = self.runs.get(id.request_id)
            case _:
                return []
        leg = self.legs.get(id, {}).get(message.source)
        if run is None or leg is None:
            return []
        match body:
            case Started():
                return self._perform(run, run.started(id), now)
            case FirstTokens(_, tokens) | Tokens(_, tokens):
                return self._deliver(run, id, leg, tokens, now)
            case Lent():
                run.sealed(id)
            case Joined():
                run.joined(id)
            case Report(_, kind):
                return self.fail(id, leg, kind, now)
            case Refusal():
                return self.fail(id, leg, FailureKind.STALE, now)
            case Closed(_, end) if end in (LoanEnd.CANCELLED, LoanEnd.EXPIRED):
                return self.fail(id, leg, FailureKind.SOURCE_LOST, now)
        return []

    def fail(
        self, id: AttemptId, leg: Role, failure: FailureKind | BatonError, now: float, *, may_retry: bool = True
    ) -> list[Message]:
        """A leg ended, or is taken for dead."""
        run = self.runs[id.request_id]
        return self._perform(run, run.leg_failed(id, leg, failure, now, may_retry=may_retry), now)

    def lose(self, member: MemberId, now: float) -> list[Message]:
        """A member is gone: so are its calls and its session."""
        legs = [(id, legs[member]) for id, legs in self.legs.items() if member in legs]
        return [message for id, leg in legs for message in self.fail(id, leg, FailureKind.INTERNAL, now)]

    def cancel(self, request_id: str, now: float) -> list[Message]:
        """The client left."""
        run = self.runs[request_id]
        return self._perform(run, run.cancel("the client left"), now)

    def expire(self, now: float) -> list[Message]:
        """Deadlines."""
        return [message for run in list(self.runs.values()) for message in self._perform(run, run.tick(now), now)]

    def check(self) -> None:
        """Indices are 0, 1, 2, ...; no attempt speaks after a later one; what a retry continues was delivered."""
        for request_id, log in self.log.items():
            run = self.runs[request_id]
            for choice, delivered in run.delivered.items():
                mine = [(number, token) for number, token in log if token.choice == choice]
                if [token.index for _, token in mine] != list(range(len(mine))):
                    raise Violation(f"{request_id}: choice {choice} was delivered with gaps or twice")
                if [token.token_id for _, token in mine] != delivered:
                    raise Violation(f"{request_id}: choice {choice} forgot what it delivered")
            numbers = [number for number, _ in log]
            if numbers != sorted(numbers):
                raise Violation(f"{request_id}: the stream mixes two attempts")
            base = run.attempt.token_ids[run.attempt.num_prompt_tokens :]
            for wanted in run.attempt.choices:
                output = base + wanted.tail
                if output != tuple(run.delivered[wanted.index][: len(output)]):
                    raise Violation(f"{request_id}: attempt {run.id.number} continues what was not delivered")

    def _deliver(
        self, run: RequestRun, id: AttemptId, leg: Role, tokens: tuple[SampledToken, ...], now: float
    ) -> list[Message]:
        for token in tokens:
            try:
                accepted = run.accept_token(id, token)
            except CorruptAttempt:
                return self.fail(id, leg, FailureKind.INTERNAL, now)
            if accepted:
                if id.request_id in self.errors:
                    raise Violation(f"{id} delivered after its request had ended")
                self.log[id.request_id] += ((id.number, token),)
        return self._perform(run, run.settle(), now)

    def _perform(self, run: RequestRun, actions: Iterable[RequestAction], now: float) -> list[Message]:
        sent: list[Message] = []
        for action in actions:
            match action:
                case ChoosePrefill(attempt):
                    self.choosing[attempt.id] = Role.PREFILL
                case ChooseDecode(attempt):
                    self.choosing[attempt.id] = Role.DECODE
                case RunPrefill(attempt, member, lend, remaining_s):
                    self.legs.setdefault(attempt.id, {})[member] = Role.PREFILL
                    sent.append(Message(self.me, member, words.Run(attempt, lend, remaining_s)))
                case Attach(attempt, member, source, remaining_s):
                    self.legs.setdefault(attempt.id, {})[member] = Role.DECODE
                    sent.append(Message(self.me, member, words.Attach(attempt, source, remaining_s)))
                case CancelLegs(id):
                    self.choosing.pop(id, None)
                    sent += [Message(self.me, member, Cancel(id)) for member in self.legs.get(id, {})]
                case CancelChoice():
                    pass
                case Done():
                    self._end(run, None, now)
                case Fail(error):
                    self._end(run, error, now)
        return sent

    def _end(self, run: RequestRun, error: BatonError | None, now: float) -> None:
        request_id = run.id.request_id
        if request_id in self.errors:
            raise Violation(f"{request_id} ended twice")
        self.errors[request_id] = error
        self.ended_at[request_id] = now
