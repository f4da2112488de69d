"""One request, from admission to its last token, under one scope.

Feeds both legs' events to the request's machine, performs what the machine asks, hands accepted tokens to the relay.
However the scope is left, both legs are cancelled. Knows nothing of gRPC and nothing of text.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from common.types.attempt import Attempt, Choice
from common.types.errors import BatonError, InvalidRequest, Overloaded, PeerLost, Unavailable
from common.types.handoff import FailureKind, LoanEnd
from common.types.ids import AttemptId, Role
from common.types.sampling import SampledToken
from kvtransfer.handoff.request import CorruptAttempt, RequestRun, RequestState
from kvtransfer.handoff.steps import (
    Attach,
    CancelChoice,
    CancelLegs,
    ChooseDecode,
    ChoosePrefill,
    Done,
    Fail,
    RequestAction,
    RunPrefill,
)
from router.admission import RetryBudget
from router.events import (
    DecodeJoined,
    FirstTokens,
    LegEvent,
    LegFailed,
    LoanClosed,
    PrefillStarted,
    PromptScored,
    Sealed,
    Sink,
    Tokens,
)
from router.legs import Legs
from router.policy.route import Route
from router.reach import Reach
from router.relay import Outgoing, Relay
from router.routing import Routing, Rules
from router.tally import Tally
from router.timeline import Summary, Timeline
from router.validate import Request

T = TypeVar("T")
ATTACHING, DECODE = RequestState.ATTACHING, Role.DECODE
"""Looked up once: a class of names finds one of them slowly, and these two are asked for with every token."""
HOPELESS = 2.0
"""A queue predicted to take so many times what is left until the deadline."""


class Dispatch:
    """Runs once: `run`, then `summary`."""

    def __init__(
        self,
        request: Request,
        relay: Relay,
        reach: Reach,
        budget: RetryBudget,
        rules: Rules,
        tally: Tally,
        *,
        arrived: float,
        remaining_s: float,
        on_prefilled: Callable[[], None],
    ) -> None:
        choices = tuple(Choice(index) for index in range(request.num_choices))
        first = AttemptId(request.id, 1)
        token_ids = request.token_ids
        salt, traceparent = request.cache_salt, request.traceparent
        attempt = Attempt(first, token_ids, len(token_ids), choices, request.sampling, salt, traceparent)
        self._run = RequestRun(attempt, arrived, remaining_s, rules.max_attempts)
        self._request, self._relay, self._reach, self._budget, self._rules = request, relay, reach, budget, rules
        self._tally = tally
        self._routing = Routing(reach.fleet, rules)
        self._timeline = Timeline(arrived)
        self._on_prefilled = on_prefilled
        self._num_cached_tokens: int | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._decided = asyncio.Event()
        self.began = False
        """Whether a member was ever found for it."""
        self._scope: asyncio.TaskGroup
        self._legs: Legs

    async def run(self, write: Callable[[tuple[Outgoing | T, ...]], Awaitable[None]], first: T) -> None:
        """Returns when all was delivered; raises the request's error, after what was delivered before it.

        `first` is written once a member was found, before anything it says: what is refused for want of one comes
        without it.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.call_at(self._run.deadline, self._expire)
        error: BatonError | None = None
        async with asyncio.TaskGroup() as self._scope:
            self._legs = Legs(self._reach, self._scope)
            try:
                self._perform(self._run.begin())
                await self._decided.wait()
                if self.began:
                    await write((first,))
                while outgoing := await self._relay.next():
                    await write(outgoing)
            except BatonError as failed:
                error = failed
            finally:
                deadline.cancel()
                self._perform(self._run.cancel("the request was left"))
                if self._waiting is not None:
                    self._waiting.cancel()
        if error is not None:
            raise error

    def summary(self, now: float) -> Summary:
        return Summary(
            num_prompt_tokens=len(self._request.token_ids),
            num_cached_tokens=self._num_cached_tokens or 0,
            num_output_tokens=sum(len(tokens) for tokens in self._run.delivered.values()),
            timings=self._timeline.timings(now),
            num_attempts=self._run.id.number,
            explanations=tuple(self._routing.explanations) if self._request.explain else (),
        )

    def _perform(self, actions: tuple[RequestAction, ...]) -> None:
        for action in actions:
            match action:
                case ChoosePrefill():
                    self._choose_route(action)
                case RunPrefill(attempt, member, lend, remaining_s):
                    self._legs.run_prefill(
                        attempt,
                        self._routing.member(member),
                        lend=lend,
                        remaining_s=remaining_s,
                        sink=self._sink(attempt.id),
                        now=self._now(),
                    )
                case ChooseDecode(attempt, prefill, avoid):
                    chosen = self._routing.decode(attempt, prefill, avoid, self._now())
                    if isinstance(chosen, BatonError):
                        self._fail_leg(attempt.id, Role.DECODE, chosen)
                    else:
                        self._perform(self._run.routed_decode(attempt.id, chosen.id, self._now()))
                case Attach(attempt, member, source, remaining_s):
                    self._legs.attach(
                        attempt,
                        self._routing.member(member),
                        None if source is None else self._routing.member(source).hello,
                        remaining_s=remaining_s,
                        sink=self._sink(attempt.id),
                        now=self._now(),
                    )
                case CancelLegs():
                    self._legs.cancel()
                case CancelChoice(id, _, choice):
                    self._legs.cancel_choice(id, choice)
                case Done():
                    self._relay.close()
                case Fail(error):
                    self._relay.fail(error)
                    self._decided.set()

    def _choose_route(self, action: ChoosePrefill) -> None:
        """A first attempt finds a member now or fails; a later one may wait for the fleet to recover.

        So may a first one whose request was accepted when there was a decode member, and now there is none.
        """
        error = self._take_route(action)
        if error is None:
            return
        may_wait = action.attempt.id.number > 1 or not self._reach.fleet.has_decode()
        if isinstance(error, InvalidRequest) or not may_wait:
            self._give_up(action.attempt.id, error)
        else:
            self._waiting = self._scope.create_task(self._await_route(action, error))

    def _take_route(self, action: ChoosePrefill) -> BatonError | None:
        id = action.attempt.id
        route = self._routing.route(action.attempt, action.avoid, self._now())
        if isinstance(route, BatonError):
            return route
        if self._is_hopeless(route):
            wait_ms = round(route.queue_ms)
            self._give_up(id, Overloaded("the queue is longer than the deadline allows", wait_ms))
            return None
        self.began = True
        self._decided.set()
        if route.reason is not None:
            self._tally.compute_locally(route.reason)
            self._perform(self._run.routed_local(id, route.member.id, self._now()))
        else:
            self._tally.attempts["handoff"] += 1
            self._perform(self._run.routed_prefill(id, route.member.id, self._now()))
        return None

    async def _await_route(self, action: ChoosePrefill, error: BatonError) -> None:
        id, failed = action.attempt.id, error
        try:
            async with asyncio.timeout(self._rules.wait_s):
                while self._run.id == id and not self._run.ended:
                    await self._reach.fleet.changed()
                    refused = self._take_route(action)
                    if refused is None:
                        return
                    failed = refused
        except TimeoutError:
            self._give_up(id, failed)

    def _is_hopeless(self, route: Route) -> bool:
        """Work that cannot meet its deadline is not started. A speed nobody measured is no evidence, and a measured one
        is rough: short prompts make a member look slow."""
        measured = route.member.load.prefill_tokens_per_s > 0
        return measured and route.queue_ms / 1000 > HOPELESS * (self._run.deadline - self._now())

    def _sink(self, id: AttemptId) -> Sink:
        return partial(self._hear, id)

    def _hear(self, id: AttemptId, event: LegEvent) -> None:
        """Called by whoever carries the legs, who serves other requests too: a bug in here must end this one only."""
        try:
            if isinstance(event, Tokens):  # most events by far
                run, now = self._run, time.monotonic()
                if run.state is ATTACHING and id == run.attempt.id:
                    self._join(now)
                self._deliver(id, DECODE, event.tokens, now)
            else:
                self._take(id, event)
        except Exception as bug:  # noqa: BLE001 - raised again by whoever reads the relay
            self._relay.fail(bug)

    def _take(self, id: AttemptId, event: LegEvent) -> None:
        if (id is not self._run.id and id != self._run.id) or self._run.ended:
            return
        now = time.monotonic()
        match event:
            case FirstTokens(tokens):
                self._legs.computed(Role.PREFILL, now)
                self._deliver(id, Role.PREFILL, tokens, now)
            case PrefillStarted(num_cached_tokens):
                self._timeline.started(now)
                self._count_cached(num_cached_tokens)
                self._perform(self._run.started(id))
            case PromptScored(scores):
                self._relay.score(self._run.accept_scores(id, scores))
                self._relay.flush()
                self._perform(self._run.settle())
            case Sealed():
                self._run.sealed(id)
            case DecodeJoined(num_cached_tokens):
                self._count_cached(num_cached_tokens)
                self._tally.join(event, now)
                self._join(now)
            case LoanClosed(end):
                self._legs.close_prefill()
                if end is not LoanEnd.RELEASED:
                    self._fail_leg(id, Role.PREFILL, FailureKind.SOURCE_LOST)
            case LegFailed(leg, cause):
                self._fail_leg(id, leg, _failure(leg, cause))

    def _deliver(self, id: AttemptId, leg: Role, tokens: tuple[SampledToken, ...], now: float) -> None:
        run, relay, timeline = self._run, self._relay, self._timeline
        last, num_accepted = timeline.last_token, 0
        for token in tokens:
            try:
                accepted = run.accept_token(id, token)
            except CorruptAttempt:
                self._fail_leg(id, leg, FailureKind.INTERNAL)
                return
            if accepted:
                num_accepted += 1
                if last is None and timeline.token(now):
                    self._on_prefilled()
                timeline.last_token = now
                if relay.deliver(token):
                    self._perform(run.choice_stopped(id, token.choice))
                elif token.finish is not None:
                    self._perform(run.settle())
        if num_accepted:
            overflows = relay.flush()
            self._tally.deliver(num_accepted, None if last is None else now - last, now)
            if overflows:
                self._perform(run.cancel("the reader is too slow"))

    def _fail_leg(self, id: AttemptId, leg: Role, failure: FailureKind | BatonError) -> None:
        """A retry is counted only when the machine makes one."""
        now = self._now()
        actions = self._run.leg_failed(id, leg, failure, now, may_retry=self._budget.allows(now))
        self._tally.leg_failed(leg, failure)
        if self._run.id != id:
            self._budget.take(now)
            self._tally.retry(leg, continues=self._timeline.last_token is not None)
        self._perform(actions)

    def _give_up(self, id: AttemptId, error: BatonError) -> None:
        self._perform(self._run.leg_failed(id, Role.PREFILL, error, self._now(), may_retry=False))

    def _expire(self) -> None:
        """The timer may be a millisecond early: the loop's clock is coarser than ours."""
        now = max(self._now(), self._run.deadline)
        try:
            self._perform(self._run.tick(now))
        except Exception as bug:  # noqa: BLE001 - raised again by whoever reads the relay
            self._relay.fail(bug)
            self._decided.set()

    def _join(self, now: float) -> None:
        """Decode's first tokens say it too: prefilling locally, it may join with them."""
        if self._run.state is RequestState.ATTACHING:
            self._legs.computed(Role.DECODE, now)
            self._timeline.joined(now)
            self._run.joined(self._run.id)

    def _count_cached(self, num_cached_tokens: int) -> None:
        """The first word counts, whoever prefills: a later attempt finds what an earlier one computed."""
        if self._num_cached_tokens is None:
            self._num_cached_tokens = num_cached_tokens

    @staticmethod
    def _now() -> float:
        return time.monotonic()


def _failure(leg: Role, cause: FailureKind | BatonError | PeerLost) -> FailureKind | BatonError:
    """A lost member in words for the client, should no attempt be left."""
    if isinstance(cause, PeerLost):
        return Unavailable(f"the {leg.value} member was lost and no further attempt is left", leg.value)
    return cause
