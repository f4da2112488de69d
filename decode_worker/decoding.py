"""All attempts on this worker and the sessions they came over: between router, lander and engine.

Event loop only; knows nothing of gRPC.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from common.engine.messages import Command, Drop, Event, Joined, MoreTokens, Refused, Reserved, Started, StepTokens
from common.obs.traces import Traces
from common.types.attempt import Attempt
from common.types.errors import ConstraintFailed, DeadlinePassed, InvalidRequest, StaleAttempt
from common.types.handoff import FailureKind
from common.types.ids import AttemptId
from common.types.kv import KVLayout
from common.types.timeouts import Timeouts
from decode_worker.delivery import Delivery, StretchDelivery
from decode_worker.landing import Landing
from decode_worker.lenders import Lenders, LoanSource
from decode_worker.session import AttemptLost, JoinedBatch, RouterSession

_log = logging.getLogger("baton.decode")
DETAILS = {
    FailureKind.SOURCE_LOST: "the prompt's KV could not be fetched or verified",
    FailureKind.TOO_LARGE: "the attempt can never fit this worker",
    FailureKind.DEADLINE: "the deadline passed",
    FailureKind.STALE: "a later attempt of this request was seen",
    FailureKind.DRAINING: "this worker is draining",
    FailureKind.TIMEOUT: "the hand-off took longer than it may",
    FailureKind.INTERNAL: "the sequence failed inside the worker",
    FailureKind.CONSTRAINT: "the constraint cannot be enforced any further",
}


class Decoding:
    """Attempts from attach to their last token."""

    def __init__(
        self,
        post: Callable[[Command], None],
        lenders: Lenders,
        layout: KVLayout,
        timeouts: Timeouts,
        on_overdue: Callable[[], None],
        traces: Traces,
    ) -> None:
        self._post = post
        self._traces = traces
        self._landing = Landing(post, lenders, layout, timeouts, self._lost, on_overdue)
        self._deliveries: dict[AttemptId, Delivery] = {}
        self._stretch: StretchDelivery | None = None
        self._sessions: set[RouterSession] = set()
        self.draining = False
        self.idle = asyncio.Event()
        self.idle.set()

    def open(self, session: RouterSession) -> None:
        self._sessions.add(session)

    def close(self, session: RouterSession) -> None:
        """The session ended: everything that came over it is cancelled."""
        self._sessions.discard(session)
        for id in list(session.streams.values()):
            self.cancel(id)

    def finish(self) -> None:
        """The worker leaves: its sessions end with what waits to be sent."""
        for session in self._sessions:
            session.finish("this worker is leaving")

    async def close_all(self) -> None:
        """The worker stops: nothing is connected to any more."""
        await self._landing.close()

    def cancel_router(self, router_epoch: int) -> None:
        """A router is gone; its sessions end, and with them its attempts."""
        for session in [session for session in self._sessions if session.router_epoch == router_epoch]:
            session.close("the router is gone")
            self.close(session)

    def meet(self, sources: tuple[LoanSource, ...]) -> None:
        """Lenders to connect to before the first hand-off."""
        self._landing.meet(sources)

    def attach(
        self, session: RouterSession, stream: int, attempt: Attempt, source: LoanSource | None, remaining_s: float
    ) -> None:
        """Takes an attempt, or answers on the session why not."""
        if self.draining:
            session.send(AttemptLost(stream, FailureKind.DRAINING, DETAILS[FailureKind.DRAINING]))
            return
        if attempt.id in self._deliveries:  # asked again: the one that is served goes on
            session.send(AttemptLost(stream, FailureKind.STALE, DETAILS[FailureKind.STALE]))
            return
        # The prompt's own log probabilities are for a prefill worker to give.
        attempt = replace(attempt, sampling=replace(attempt.sampling, prompt_logprobs=None))
        span = self._traces.begin("decode worker", attempt.traceparent)
        delivery = Delivery(session, stream, {choice.index for choice in attempt.choices}, span)
        try:
            self._deliveries[attempt.id] = delivery
            session.streams[stream] = attempt.id
            self._landing.attach(attempt, source, remaining_s)
        except StaleAttempt:
            self._forget(attempt.id)
            session.send(AttemptLost(stream, FailureKind.STALE, DETAILS[FailureKind.STALE]))
        else:
            self.idle.clear()

    def cancel(self, id: AttemptId, choices: tuple[int, ...] = ()) -> None:
        """Forgets an attempt, or some of its choices. Unknown ones are ignored: they may have ended already."""
        delivery = self._deliveries.get(id)
        if delivery is None:
            return
        self._leave_stretch()
        delivery.choices -= set(choices) if choices else delivery.choices
        if delivery.choices:
            self._post(Drop(id, choices))
            return
        delivery.facts["reason"] = "cancelled"
        self._forget(id)
        self._landing.cancel(id)

    def on_events(self, events: tuple[Event, ...]) -> None:
        """What one engine step brought; called on the event loop."""
        for event in events:
            match event:
                case StepTokens():
                    self._deliver(event)
                case MoreTokens():
                    self._deliver_more(event)
                case Reserved():
                    self._landing.reserved(event)
                case Started(id, num_cached_tokens):
                    self._landing.started(id, num_cached_tokens)
                case Joined(id):
                    self._joined(id)
                case Refused(id, error):
                    self._lost(id, _kind_of(error))
                    self._landing.finished(id)
                case _:
                    raise TypeError(f"a decode engine does not send {type(event).__name__}")

    def _deliver(self, step: StepTokens) -> None:
        touched: set[RouterSession] = set()
        for id, token in step.rows:
            delivery = self._deliveries.get(id)
            if delivery is None or token.choice not in delivery.choices:
                continue
            delivery.session.send_row(delivery.stream, token)
            delivery.num_tokens += 1
            touched.add(delivery.session)
            if token.finish is not None:
                delivery.choices.discard(token.choice)
                if not delivery.choices:
                    self._forget(id)
                    self._landing.finished(id)
        for session in touched:
            session.flush()

    def _deliver_more(self, more: MoreTokens) -> None:
        if self._stretch is None or self._stretch.ids is not more.ids:
            self._leave_stretch()
            self._stretch = StretchDelivery(more, self._deliveries)
        self._stretch.carry(more)

    def _leave_stretch(self) -> None:
        """Before who or what is delivered changes, or is counted."""
        if self._stretch is not None:
            self._stretch.leave()
            self._stretch = None

    def _joined(self, id: AttemptId) -> None:
        delivery, journey = self._deliveries.get(id), self._landing.journey(id)
        if delivery is None or journey is None:
            return
        exposed_s = time.monotonic() - journey.sealed_at if journey.sealed_at else 0.0
        if journey.source is not None:
            delivery.facts |= {"lender": journey.source.member, "exposed_ms": round(1000 * exposed_s, 1)}
        delivery.facts |= {"bytes": journey.num_bytes, "transport": journey.transport or "none"}
        delivery.session.send(
            JoinedBatch(
                stream=delivery.stream,
                num_cached_tokens=journey.num_cached_tokens,
                num_bytes=journey.num_bytes,
                transport=journey.transport,
                exposed_s=exposed_s,
                copy_s=journey.copy_s,
            )
        )

    def _lost(self, id: AttemptId, kind: FailureKind) -> None:
        delivery = self._deliveries.get(id)
        if delivery is not None:
            delivery.session.send(AttemptLost(delivery.stream, kind, DETAILS[kind]))
            delivery.facts["reason"] = kind.value
            self._forget(id)

    def _forget(self, id: AttemptId) -> None:
        self._leave_stretch()
        delivery = self._deliveries.pop(id, None)
        if delivery is not None:
            delivery.session.streams.pop(delivery.stream, None)
            facts = {**id.facts, "output_tokens": delivery.num_tokens, **delivery.facts}
            delivery.span.end(facts, failed=str(delivery.facts.get("reason", "")))
            _log.info("ended", extra=facts)
        if not self._deliveries:
            self.idle.set()


def _kind_of(error: Exception) -> FailureKind:
    if isinstance(error, ConstraintFailed):
        return FailureKind.CONSTRAINT
    if isinstance(error, InvalidRequest):
        return FailureKind.TOO_LARGE
    return FailureKind.DEADLINE if isinstance(error, DeadlinePassed) else FailureKind.INTERNAL
