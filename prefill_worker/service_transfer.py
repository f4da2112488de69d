"""`KVTransfer`: the lender's side of the hand-off. References and verdicts only; bytes go over a transport."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import grpc

from baton.v1 import kvtransfer_pb2, kvtransfer_pb2_grpc
from common.net import convert
from prefill_worker.answers import LoanAnswers
from prefill_worker.lending import Lending

Context = grpc.aio.ServicerContext[Any, Any]


class Offer(Protocol):
    """What a fetcher of this host or of another may connect to: a transport, or the door of the near lines."""

    @property
    def name(self) -> str: ...

    def endpoint(self) -> str: ...

    def ticket(self, fetcher_epoch: int) -> bytes: ...


class TransferService(kvtransfer_pb2_grpc.KVTransferServicer):
    """Answers decode workers out of the lending table."""

    def __init__(
        self, lending: Lending, answers: LoanAnswers, offers: Sequence[Offer], epoch: int, layout: str
    ) -> None:
        self._lending = lending
        self._answers = answers
        self._offers = offers
        self._epoch = epoch
        self._layout = layout

    async def Describe(
        self, request: kvtransfer_pb2.DescribeRequest, context: Context
    ) -> kvtransfer_pb2.DescribeResponse:
        endpoints = [
            kvtransfer_pb2.TransportEndpoint(
                transport=offer.name, endpoint=offer.endpoint(), ticket=offer.ticket(request.epoch)
            )
            for offer in self._offers
        ]
        return kvtransfer_pb2.DescribeResponse(epoch=self._epoch, layout_fingerprint=self._layout, transports=endpoints)

    async def Fetch(
        self, request: kvtransfer_pb2.FetchRequest, context: Context
    ) -> AsyncIterator[kvtransfer_pb2.FetchResponse]:
        async for response in self._answers.updates(request):
            yield response

    async def Renew(self, request: kvtransfer_pb2.RenewRequest, context: Context) -> kvtransfer_pb2.RenewResponse:
        self._answers.check(request.epoch)
        return kvtransfer_pb2.RenewResponse(alive=self._lending.renew(convert.attempt_id_from_proto(request.attempt)))

    async def Landed(self, request: kvtransfer_pb2.LandedRequest, context: Context) -> kvtransfer_pb2.LandedResponse:
        return self._answers.landed(request)
