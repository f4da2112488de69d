"""What doctor says of a fleet: measured over real transports from a lender of this process, or why not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import grpc

from baton.cli.findings import Finding, Grade
from baton.cli.fleet_check import SAMPLE_BYTES, check_fleet
from baton.v1 import fleet_pb2, fleet_pb2_grpc, kvtransfer_pb2, kvtransfer_pb2_grpc
from common.net.convert_fleet import hello_to_proto, load_to_proto
from common.net.server import bind, make_server
from common.types.config import DoctorConfig
from common.types.ids import Role
from common.types.member import Load
from kvtransfer.transports.contract import LendingTransport
from kvtransfer.transports.table import lending_transports
from tests.client.router import HELLO, ScriptedFleet
from tests.kvtransfer.pools import LAYOUT, make_pool

BLOCK_BYTES = SAMPLE_BYTES // 4
EPOCH = 71
Context = grpc.aio.ServicerContext[Any, Any]


class Lender(ScriptedFleet, kvtransfer_pb2_grpc.KVTransferServicer):
    """A fleet of one prefill member, and that member."""

    def __init__(self, offers: tuple[LendingTransport, ...], role: Role = Role.PREFILL) -> None:
        super().__init__()
        self.offers, self.role, self.address = offers, role, ""
        self.extra: list[kvtransfer_pb2.TransportEndpoint] = []

    async def ListMembers(self, request: fleet_pb2.ListMembersRequest, context: Context) -> Any:
        hello = replace(
            HELLO,
            member="p0",
            role=self.role,
            address=self.address,
            epoch=EPOCH,
            layout=LAYOUT,
            block_bytes=BLOCK_BYTES,
        )
        member = fleet_pb2.Member(hello=hello_to_proto(hello), load=load_to_proto(Load(sequence=1)))
        return fleet_pb2.ListMembersResponse(members=[member])

    async def Describe(self, request: kvtransfer_pb2.DescribeRequest, context: Context) -> Any:
        endpoints = [
            kvtransfer_pb2.TransportEndpoint(
                transport=each.name, endpoint=each.endpoint(), ticket=each.ticket(request.epoch)
            )
            for each in self.offers
        ]
        return kvtransfer_pb2.DescribeResponse(
            epoch=EPOCH, layout_fingerprint=LAYOUT, transports=[*endpoints, *self.extra]
        )


@asynccontextmanager
async def serving(lender: Lender) -> AsyncIterator[str]:
    for offer in lender.offers:
        await offer.start()
    server = make_server(
        [
            partial(fleet_pb2_grpc.add_FleetServicer_to_server, lender),
            partial(kvtransfer_pb2_grpc.add_KVTransferServicer_to_server, lender),
        ]
    )
    target = f"127.0.0.1:{bind(server, '127.0.0.1:0')}"
    lender.address = lender.address or target
    await server.start()
    try:
        yield target
    finally:
        await server.stop(0)
        for offer in lender.offers:
            await offer.close()


async def findings(target: str) -> list[Finding]:
    return [finding async for finding in check_fleet(DoctorConfig(fleet=target))]


def offers() -> tuple[LendingTransport, ...]:
    return lending_transports(("shm", "tcp"), make_pool(8, BLOCK_BYTES, seed=1), EPOCH, lambda *_: True)


async def test_each_transport_of_each_lender_is_measured() -> None:
    lender = Lender(offers())
    async with serving(lender) as target:
        shm, tcp = await findings(target)
    assert (shm.what, tcp.what) == ("from p0 by shm", "from p0 by tcp")
    for finding in (shm, tcp):
        assert finding.grade is Grade.GOOD
        assert "GB/s verified" in finding.fact


async def test_a_transport_that_cannot_be_used_says_why_and_what_to_do() -> None:
    lender = Lender(())
    lender.extra = [
        kvtransfer_pb2.TransportEndpoint(transport="shm", endpoint="unix-abstract:baton-nobody", ticket=b"\0" * 16),
        kvtransfer_pb2.TransportEndpoint(transport="cuda_ipc", endpoint="unix-abstract:x", ticket=b"\0" * 16),
    ]
    async with serving(lender) as target:
        shm, cuda = await findings(target)
    assert shm.grade is Grade.WEAK
    assert "network namespace" in shm.advice
    assert cuda.grade is Grade.GOOD
    assert "measure it themselves" in cuda.fact


async def test_a_lender_that_cannot_be_reached() -> None:
    lender = Lender(())
    lender.address = "127.0.0.1:1"
    async with serving(lender) as target:
        (finding,) = await findings(target)
    assert (finding.what, finding.grade) == ("from p0", Grade.BAD)
    assert "its address can be reached" in finding.advice


async def test_a_fleet_without_prefill() -> None:
    async with serving(Lender((), Role.DECODE)) as target:
        (finding,) = await findings(target)
    assert finding.grade is Grade.WEAK
    assert "no prefill member" in finding.fact
