"""An ask before and after its dispatch: model, tokens, limits, admission, the first and the last word of its stream.

Owns who is admitted and whether anyone still is. The same for every front; knows nothing of gRPC.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from common.obs.traces import NoTraces, Traces
from common.text.detokenize import detokenizer
from common.types.config import RouterConfig
from common.types.errors import BatonError, InvalidRequest, NotFound, Overloaded, Unavailable
from common.types.ids import Role
from router.admission import Admission, Cost, RetryBudget, Ticket
from router.answer import Answer
from router.ask import Ask, ChatAsk, Prompt
from router.constraints import ConstraintCheck
from router.dispatch import Dispatch
from router.history import History, Point
from router.incoming import incoming, request_id
from router.keys import caller
from router.policy.snapshot import Snapshot
from router.reach import Reach
from router.relay import Outgoing, Outlet, Relay
from router.routing import Rules
from router.served_model import ServedModel
from router.tally import ANSWERED, CANCELLED, FAILED, Tally
from router.timeline import Summary
from router.validate import Limits, Request, validate

RETRY_BURST = 128
"""One lost member's whole batch may move at once."""
INLINE_CHARS = 4096
"""Longer prompts are tokenized in a thread: the event loop has streams to carry."""
TOOL_CHARS = 512
"""What a tool is taken to add to a prompt."""
_log = logging.getLogger("baton.router")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The first word of every stream: the request was admitted, and is on its way to a member."""

    request_id: str
    model: str
    num_prompt_tokens: int


Message = Accepted | Outgoing | Summary
Write = Callable[[Sequence[Message]], Awaitable[None]]
Gate = Callable[[], Awaitable[None]]


class Serving:
    """One model on one fleet."""

    def __init__(self, model: ServedModel, reach: Reach, config: RouterConfig, rules: Rules, now: float) -> None:
        self.model = model
        self._reach = reach
        self._constraints = ConstraintCheck(model.tokenizer, model.vocab_size, model.end_token_ids)
        self._config = config
        self._rules = rules
        self.tally = Tally()
        self.traces: Traces = NoTraces()
        self.history = History(Point(now))
        self.admission = Admission(config.max_requests, config.max_queue_tokens, now)
        self.budget = RetryBudget(config.retry_share, RETRY_BURST, now)
        self.idle = asyncio.Event()
        self.idle.set()
        self._draining = False

    @property
    def ready(self) -> bool:
        """Whether a request that comes now has somewhere to go: a decode member can also prefill by itself."""
        return not self._draining and self._reach.fleet.has_decode()

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def max_model_tokens(self) -> int:
        """What the model holds, as far as some decode member can hold it too."""
        held = [
            min(member.hello.max_model_tokens, member.hello.num_blocks * member.hello.block_tokens)
            for member in self._reach.fleet.snapshot().decode
        ]
        return min(self.model.max_tokens, max(held, default=self.model.max_tokens))

    def check_model(self, name: str | None) -> None:
        if name is not None and name != self.model.id:
            raise NotFound("model", name, (self.model.id,))

    async def token_ids(self, prompt: Prompt | None, *, add_special_tokens: bool = True) -> tuple[int, ...]:
        if _num_chars(prompt) <= INLINE_CHARS:
            return self.model.token_ids(prompt, add_special_tokens=add_special_tokens)
        return await asyncio.to_thread(self.model.token_ids, prompt, add_special_tokens=add_special_tokens)

    async def generate(
        self, ask: Ask, remaining_s: float, write: Write, gate: Gate | None = None, outlet: Outlet | None = None
    ) -> None:
        """Writes Accepted, then what comes, then the Summary; or raises the request's error.

        Whatever refuses a request does so before Accepted. Once admitted it waits for the gate, where there is one.
        What comes while nothing is being written goes to the outlet, where there is one and it is ready.
        """
        arrived = self._now()
        span = self.traces.begin("request", incoming())
        try:
            request, ticket = await self._admit(ask)
        except BatonError as error:
            span.end({}, failed=str(error))
            raise
        request = replace(request, traceparent=span.traceparent)
        num_prompt_tokens = len(request.token_ids)

        def prefilled() -> None:
            now = self._now()
            ticket.prefilled(now)
            self.tally.ttft.observe(now - arrived, now)

        outcome = FAILED
        dispatch = Dispatch(
            request,
            self._relay(request, outlet),
            self._reach,
            self.budget,
            self._rules,
            self.tally,
            arrived=arrived,
            remaining_s=remaining_s,
            on_prefilled=prefilled,
        )
        try:
            if gate is not None:
                await gate()
            await dispatch.run(write, Accepted(request.id, self.model.id, num_prompt_tokens))
            await write((dispatch.summary(self._now()),))
            outcome = ANSWERED
        except asyncio.CancelledError:
            outcome = CANCELLED
            raise
        except BatonError as error:
            self.tally.fail(error)
            _log.warning("failed", extra={"request": request.id, "reason": str(error)})
            raise
        finally:
            now = self._now()
            ticket.close(now)
            summary = dispatch.summary(now)
            self.tally.end(outcome, summary, request.num_choices, now)
            who = caller()
            if who is not None:
                num_used = summary.num_prompt_tokens + summary.num_output_tokens
                who.settle(ticket.cost.tokens, num_used if dispatch.began else 0)
            facts = _facts(request, summary) | ({} if who is None else {"caller": who.id})
            span.end(facts, failed="" if outcome == ANSWERED else outcome, legs=summary.timings.legs())
            _log.info("ended", extra=facts)
            if not self.admission.num_requests:
                self.idle.set()

    async def _admit(self, ask: Ask) -> tuple[Request, Ticket]:
        """From here on the request is charged; raises why it is not."""
        try:
            self.check_model(ask.model)
            self.check_open()
            refusal = await self._constraints.refusal(ask.constraint)
            token_ids = await self.token_ids(ask.prompt)
            now = self._now()
            self.check_open()
            request = self._validate(ask, token_ids, refusal)
            cost = Cost.of(len(token_ids), request.sampling.max_tokens, request.num_choices)
            ticket = self._charge(cost, now)
        except BatonError as error:
            self.tally.refuse(error)
            raise
        self.tally.admit(len(token_ids))
        self.budget.request(now)
        self.idle.clear()
        who = caller()
        return (request if who is None else replace(request, cache_salt=who.salt)), ticket

    def _charge(self, cost: Cost, now: float) -> Ticket:
        """The caller's share first: what one key used up must not be blamed on the fleet."""
        who = caller()
        if who is not None:
            who.charge(cost.tokens, now)
        try:
            return self.admission.admit(cost, _capacity_tokens(self._reach.fleet.snapshot()), now)
        except Overloaded:
            if who is not None:
                who.settle(cost.tokens, 0)
            raise

    async def drain(self, drain_s: float) -> None:
        """Admits nothing more, and waits until what was admitted has ended, at most so long."""
        self._draining = True
        try:
            async with asyncio.timeout(drain_s):
                await self.idle.wait()
        except TimeoutError:
            _log.warning("left with streams unfinished", extra={"requests": self.admission.num_requests})

    def close(self) -> None:
        """Lets go of its threads."""
        self._constraints.close()

    def check_open(self) -> None:
        """Refusals that need no look at the prompt come before it is tokenized."""
        if self._draining:
            raise Unavailable("this router is draining", "admission")
        if not self._reach.fleet.has_decode():
            raise Unavailable(self._reach.fleet.why_no_decode(), Role.DECODE.value)
        self.admission.check(self._now())

    def _validate(self, ask: Ask, token_ids: tuple[int, ...], refusal: InvalidRequest | None) -> Request:
        limits = Limits.of(
            self._config,
            vocab_size=self.model.vocab_size,
            max_model_tokens=self.max_model_tokens,
            end_token_ids=self.model.end_token_ids,
        )
        return validate(ask, token_ids, limits, id=request_id(), seed=secrets.randbits(63), refusal=refusal)

    def _relay(self, request: Request, outlet: Outlet | None) -> Relay:
        def answer() -> Answer:
            text = detokenizer(self.model.tokenizer, request.token_ids, shown=request.shown_special_ids)
            return Answer(text, request.stop, request.sampling.min_tokens)

        return Relay({choice: answer() for choice in range(request.num_choices)}, outlet)

    @staticmethod
    def _now() -> float:
        return time.monotonic()


def _capacity_tokens(snapshot: Snapshot) -> int:
    """What the decode pool can hold when empty."""
    return sum(member.hello.num_blocks * member.hello.block_tokens for member in snapshot.decode)


def _num_chars(prompt: Prompt | None) -> int:
    match prompt:
        case str():
            return len(prompt)
        case ChatAsk(messages, _, tools):
            return sum(len(message.content or "") for message in messages) + TOOL_CHARS * len(tools)
        case _:
            return 0


def _facts(request: Request, summary: Summary) -> dict[str, object]:
    return {
        "request": request.id,
        "prompt_tokens": summary.num_prompt_tokens,
        "output_tokens": summary.num_output_tokens,
        "attempts": summary.num_attempts,
        "ttft_ms": round(summary.timings.ttft_ms, 1),
        "total_ms": round(summary.timings.total_ms, 1),
    }
