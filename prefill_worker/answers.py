"""What this worker answers about its loans, in messages: the same over gRPC and over a near line.

References and verdicts only; bytes go over a transport.
"""

from collections.abc import AsyncGenerator
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from baton.v1 import kvtransfer_pb2
from common.net import convert, convert_kv
from common.types.errors import StaleAttempt, invalid
from common.types.handoff import Verdict
from common.types.kv import Manifest
from prefill_worker.lending import Lending

AnyMessage = TypeVar("AnyMessage", bound=Message)
VERDICTS = {
    Verdict.RELEASED: kvtransfer_pb2.VERDICT_RELEASED,
    Verdict.GONE: kvtransfer_pb2.VERDICT_GONE,
}


class LoanAnswers:
    """Answers decode workers out of the lending table. A near line's `ask` is `Landed`, its `follow` is `Fetch`."""

    def __init__(self, lending: Lending, epoch: int) -> None:
        self._lending = lending
        self._epoch = epoch

    async def updates(self, request: kvtransfer_pb2.FetchRequest) -> AsyncGenerator[kvtransfer_pb2.FetchResponse, None]:
        self.check(request.epoch)
        id = convert.attempt_id_from_proto(request.attempt)
        async for update in self._lending.follow(id, request.num_skip_blocks):
            if isinstance(update, Manifest):
                yield kvtransfer_pb2.FetchResponse(sealed=convert_kv.manifest_to_proto(update))
            else:
                first_block, refs = update
                blocks = convert_kv.block_refs_to_proto(refs)
                ready = kvtransfer_pb2.BlocksReady(first_block=first_block, blocks=blocks)
                yield kvtransfer_pb2.FetchResponse(ready=ready)

    def landed(self, request: kvtransfer_pb2.LandedRequest) -> kvtransfer_pb2.LandedResponse:
        self.check(request.epoch)
        verdict = self._lending.landed(convert.attempt_id_from_proto(request.attempt))
        return kvtransfer_pb2.LandedResponse(verdict=VERDICTS[verdict])

    def ask(self, request: bytes) -> bytes:
        return self.landed(_parse(kvtransfer_pb2.LandedRequest(), request)).SerializeToString()

    async def follow(self, request: bytes) -> AsyncGenerator[bytes, None]:
        async for response in self.updates(_parse(kvtransfer_pb2.FetchRequest(), request)):
            yield response.SerializeToString()

    def check(self, epoch: int) -> None:
        if epoch != self._epoch:
            raise StaleAttempt("this worker was restarted since the fetcher last heard from it")


def _parse(message: AnyMessage, data: bytes) -> AnyMessage:
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise invalid("request", "is not a message of this method") from None
    return message
