"""`KVTransfer`: the lender's side of the hand-off. References and verdicts only; bytes go over a transport."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from baton.v1 import kvtransfer_pb2, kvtransfer_pb2_grpc
from common.net import convert, convert_kv
from common.types.errors import StaleAttempt
from common.types.handoff import Verdict
from common.types.kv import Manifest
from kvtransfer.transports.contract import LendingTransport
from prefill_worker.lending import Lending

Context = grpc.aio.ServicerContext[Any, Any]
VERDICTS = {
    Verdict.RELEASED: kvtransfer_pb2.VERDICT_RELEASED,
    Verdict.GONE: kvtransfer_pb2.VERDICT_GONE,
}


class TransferService(kvtransfer_pb2_grpc.KVTransferServicer):
    """Answers decode workers out of the lending table."""

    def __init__(self, lending: Lending, transports: tuple[LendingTransport, ...], epoch: int, layout: str) -> None:
        self._lending = lending
        self._transports = transports
        self._epoch = epoch
        self._layout = layout

    async def Describe(
        self, request: kvtransfer_pb2.DescribeRequest, context: Context
    ) -> kvtransfer_pb2.DescribeResponse:
        endpoints = [
            kvtransfer_pb2.TransportEndpoint(
                transport=transport.name, endpoint=transport.endpoint(), ticket=transport.ticket(request.epoch)
            )
            for transport in self._transports
        ]
        return kvtransfer_pb2.DescribeResponse(epoch=self._epoch, layout_fingerprint=self._layout, transports=endpoints)

    async def Fetch(
        self, request: kvtransfer_pb2.FetchRequest, context: Context
    ) -> AsyncIterator[kvtransfer_pb2.FetchResponse]:
        self._check(request.epoch)
        id = convert.attempt_id_from_proto(request.attempt)
        async for update in self._lending.follow(id, request.num_skip_blocks):
            if isinstance(update, Manifest):
                yield kvtransfer_pb2.FetchResponse(sealed=convert_kv.manifest_to_proto(update))
            else:
                first_block, refs = update
                blocks = convert_kv.block_refs_to_proto(refs)
                ready = kvtransfer_pb2.BlocksReady(first_block=first_block, blocks=blocks)
                yield kvtransfer_pb2.FetchResponse(ready=ready)

    async def Renew(self, request: kvtransfer_pb2.RenewRequest, context: Context) -> kvtransfer_pb2.RenewResponse:
        self._check(request.epoch)
        return kvtransfer_pb2.RenewResponse(alive=self._lending.renew(convert.attempt_id_from_proto(request.attempt)))

    async def Landed(self, request: kvtransfer_pb2.LandedRequest, context: Context) -> kvtransfer_pb2.LandedResponse:
        self._check(request.epoch)
        verdict = self._lending.landed(convert.attempt_id_from_proto(request.attempt))
        return kvtransfer_pb2.LandedResponse(verdict=VERDICTS[verdict])

    def _check(self, epoch: int) -> None:
        if epoch != self._epoch:
            raise StaleAttempt("this worker was restarted since the fetcher last heard from it")
