"""`Prefill.Run`: one call per attempt, which lives as long as its blocks are lent."""

import asyncio
import logging
from collections.abc import AsyncIterator

import grpc

from baton.v1 import prefill_pb2, prefill_pb2_grpc
from common.engine.messages import FirstTokens, PromptScores, Sealed, Started
from common.net import convert
from common.net.deadlines import from_ms, remaining_s
from common.net.wire import MAX_SCORES, MAX_TOP_LOGPROBS
from common.obs.traces import Traces
from common.types.errors import BatonError, DeadlinePassed, StaleAttempt
from common.types.handoff import LoanEnd
from kvtransfer.handoff.actions import Closed
from prefill_worker.lending import Lending, PrefillRun, RunEvent

Context = grpc.aio.ServicerContext[prefill_pb2.RunRequest, prefill_pb2.RunResponse]

_log = logging.getLogger("baton.prefill")
MAX_DEADLINE_S = 24 * 3600.0
SCORED_TOKENS = MAX_SCORES // (1 + MAX_TOP_LOGPROBS)
"""In a message; few enough to have all alternatives there may be."""
LOAN_ENDS = {
    LoanEnd.RELEASED: prefill_pb2.LOAN_END_RELEASED,
    LoanEnd.CANCELLED: prefill_pb2.LOAN_END_CANCELLED,
    LoanEnd.EXPIRED: prefill_pb2.LOAN_END_EXPIRED,
    LoanEnd.NOTHING_LENT: prefill_pb2.LOAN_END_NOTHING_LENT,
}


class PrefillService(prefill_pb2_grpc.PrefillServicer):
    """Turns calls into runs and run events into messages; decides nothing."""

    def __init__(self, lending: Lending, epoch: int, traces: Traces) -> None:
        self._lending = lending
        self._traces = traces
        self._epoch = epoch

    async def Run(self, request: prefill_pb2.RunRequest, context: Context) -> AsyncIterator[prefill_pb2.RunResponse]:
        if request.epoch != self._epoch:
            raise StaleAttempt("this worker was restarted since the router last heard from it")
        attempt = convert.attempt_from_proto(request.attempt)
        deadline_s = remaining_s(context, from_ms(request.remaining_ms, "prefill", MAX_DEADLINE_S))
        run = self._lending.open(attempt, deadline_s, lend=request.lend, router_epoch=request.router_epoch)
        span = self._traces.begin("prefill worker", attempt.traceparent)
        try:
            async with asyncio.timeout(deadline_s):
                async for message in self._messages(run):
                    yield message
        except TimeoutError:
            raise DeadlinePassed("prefill") from None
        finally:
            self._lending.cancel(attempt.id)
            facts = {**attempt.id.facts, "prompt_tokens": len(attempt.token_ids), **run.facts}
            span.end(facts, failed=str(run.facts.get("reason", "")))
            _log.info("ended", extra=facts)

    async def _messages(self, run: PrefillRun) -> AsyncIterator[prefill_pb2.RunResponse]:
        """What is there already goes together; log probabilities have messages of their own, for they are many."""
        message = prefill_pb2.RunResponse()
        while True:
            event = await run.events.get()
            apart = isinstance(event, PromptScores | BatonError)
            if apart and message.events:
                yield message
                message = prefill_pb2.RunResponse()
            if isinstance(event, BatonError):
                run.facts["reason"] = str(event)
                raise event
            _note(run, event)
            for part in _parts(event):
                message.events.append(_event(part))
                if apart or run.events.empty() or isinstance(event, Closed):
                    yield message
                    message = prefill_pb2.RunResponse()
            if isinstance(event, Closed):
                return


def _note(run: PrefillRun, event: RunEvent) -> None:
    """What the log will say of it."""
    match event:
        case Started(_, num_cached_tokens, queue_s):
            run.facts |= {"cached_tokens": num_cached_tokens, "queue_ms": round(1000 * queue_s, 1)}
        case FirstTokens(_, _, prefill_s):
            run.facts["prefill_ms"] = round(1000 * prefill_s, 1)
        case Closed(_, end):
            run.facts["loan"] = end.value


def _parts(event: RunEvent) -> list[RunEvent]:
    """A large step's log probabilities are more than a message may hold."""
    if not isinstance(event, PromptScores):
        return [event]
    id, tokens = event.id, event.tokens
    return [PromptScores(id, tokens[at : at + SCORED_TOKENS]) for at in range(0, len(tokens), SCORED_TOKENS)]


def _event(event: RunEvent) -> prefill_pb2.RunEvent:
    match event:
        case Started(_, num_cached_tokens, queue_s):
            started = prefill_pb2.RunStarted(num_cached_tokens=num_cached_tokens, queue_ms=queue_s * 1000)
            return prefill_pb2.RunEvent(started=started)
        case PromptScores(_, tokens):
            scores = prefill_pb2.RunPromptLogprobs(tokens=[convert.logprobs_to_proto(token) for token in tokens])
            return prefill_pb2.RunEvent(prompt_logprobs=scores)
        case FirstTokens(_, tokens, prefill_s):
            first = [convert.sampled_token_to_proto(token) for token in tokens]
            message = prefill_pb2.RunFirstTokens(tokens=first, prefill_ms=prefill_s * 1000)
            return prefill_pb2.RunEvent(first_tokens=message)
        case Sealed(manifest):
            return prefill_pb2.RunEvent(sealed=prefill_pb2.RunSealed(num_blocks=len(manifest.blocks)))
        case Closed(_, end):
            return prefill_pb2.RunEvent(closed=prefill_pb2.RunClosed(end=LOAN_ENDS[end]))
