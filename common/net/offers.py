"""What a lender offers to carry its blocks: `KVTransfer.Describe`, for who only wants to know."""

from dataclasses import dataclass, field

import grpc

from baton.v1 import kvtransfer_pb2, kvtransfer_pb2_grpc
from common.net.dial import Dial
from common.net.errors import from_rpc_error

ROLE = "prefill"


@dataclass(frozen=True, slots=True)
class Offer:
    """One transport of one lender."""

    transport: str
    endpoint: str
    ticket: bytes = field(repr=False)


async def ask_offers(address: str, dial: Dial, fetcher_epoch: int, patience_s: float) -> tuple[str, tuple[Offer, ...]]:
    """The lender's layout and its offers to a fetcher of that epoch; raises what the call's failure means."""
    channel = dial.open(address, ROLE)
    try:
        stub = kvtransfer_pb2_grpc.KVTransferStub(channel)
        request = kvtransfer_pb2.DescribeRequest(epoch=fetcher_epoch)
        answer = await stub.Describe(request, timeout=patience_s, metadata=dial.metadata)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error, "describe", address) from error
    finally:
        await channel.close()
    return answer.layout_fingerprint, tuple(Offer(t.transport, t.endpoint, t.ticket) for t in answer.transports)
