"""The prefill leg of one attempt: one `Prefill.Run` call, whose events go to a sink. Owns the call, decides nothing."""

from collections.abc import Mapping

import grpc

from baton.v1 import prefill_pb2, prefill_pb2_grpc
from common.net.convert import attempt_to_proto, first_tokens_from_proto, prompt_logprobs_from_proto
from common.net.deadlines import to_ms
from common.net.errors import from_rpc_error
from common.types.attempt import Attempt
from common.types.errors import BatonError, Cancelled, InvalidRequest, PeerLost
from common.types.handoff import LoanEnd
from common.types.ids import Role
from common.types.member import Hello
from router.events import FirstTokens, LegEvent, LegFailed, LoanClosed, PrefillStarted, PromptScored, Sealed, Sink

LOAN_ENDS: Mapping[int, LoanEnd] = {
    prefill_pb2.LOAN_END_RELEASED: LoanEnd.RELEASED,
    prefill_pb2.LOAN_END_CANCELLED: LoanEnd.CANCELLED,
    prefill_pb2.LOAN_END_EXPIRED: LoanEnd.EXPIRED,
    prefill_pb2.LOAN_END_NOTHING_LENT: LoanEnd.NOTHING_LENT,
}


async def run_prefill(
    channel: grpc.aio.Channel,
    member: Hello,
    router_epoch: int,
    attempt: Attempt,
    *,
    lend: bool,
    remaining_s: float,
    sink: Sink,
) -> None:
    """Ends with the loan; cancelling it frees the loan. Whatever goes wrong reaches the sink as one `LegFailed`."""
    request = prefill_pb2.RunRequest(
        attempt=attempt_to_proto(attempt),
        epoch=member.epoch,
        router_epoch=router_epoch,
        remaining_ms=to_ms(remaining_s),
        lend=lend,
    )
    call = prefill_pb2_grpc.PrefillStub(channel).Run(request, timeout=remaining_s)
    cause: BatonError | PeerLost = PeerLost("prefill", member.member, "it ended the call before the loan ended")
    try:
        async for response in call:
            for event in map(_event, response.events):
                if event is not None:
                    sink(event)
                if isinstance(event, LoanClosed):
                    return
    except grpc.aio.AioRpcError as error:
        cause = _cause(from_rpc_error(error, "prefill", member.member), member)
    except InvalidRequest:
        cause = PeerLost("prefill", member.member, "it sent a malformed message")
    finally:
        call.cancel()
    sink(LegFailed(Role.PREFILL, cause))


def _event(told: prefill_pb2.RunEvent) -> LegEvent | None:
    """None for an event that this version does not know."""
    match told.WhichOneof("event"):
        case "started":
            return PrefillStarted(told.started.num_cached_tokens, told.started.queue_ms)
        case "prompt_logprobs":
            return PromptScored(prompt_logprobs_from_proto(told.prompt_logprobs.tokens))
        case "first_tokens":
            first = told.first_tokens
            return FirstTokens(first_tokens_from_proto(first.tokens), first.prefill_ms)
        case "sealed":
            return Sealed(told.sealed.num_blocks)
        case "closed":
            return LoanClosed(LOAN_ENDS.get(told.closed.end, LoanEnd.CANCELLED))
        case _:
            return None


def _cause(error: BatonError | PeerLost, member: Hello) -> BatonError | PeerLost:
    """A worker that gave up is lost to this attempt: only a client cancels a request."""
    if isinstance(error, Cancelled):
        return PeerLost("prefill", member.member, "it cancelled the call")
    return error
