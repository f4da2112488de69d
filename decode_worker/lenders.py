"""Prefill workers as seen from here: one channel each for control, a near line if it is near, the puller for bytes.

A lender that cannot be reached, or answers for another epoch, is lost; one that answers "gone" has refused.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import grpc

from baton.v1 import kvtransfer_pb2, kvtransfer_pb2_grpc
from common.net import convert, convert_kv
from common.net.dial import Dial
from common.net.peers import PREFILL
from common.types.errors import InvalidRequest
from common.types.handoff import Verdict
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Manifest
from common.types.member import FetchTotals
from common.types.timeouts import Timeouts
from decode_worker.near_lines import LineLost, LineRefused, NearLines
from kvtransfer.near.frames import NEAR
from kvtransfer.pull import Endpoint, FetchReport, Puller, TransportFailed
from kvtransfer.transports.contract import ChecksumMismatch, Pair
from kvtransfer.transports.pools import Pool

VERDICTS = {
    kvtransfer_pb2.VERDICT_RELEASED: Verdict.RELEASED,
    kvtransfer_pb2.VERDICT_GONE: Verdict.GONE,
}
LOST = (grpc.StatusCode.UNAVAILABLE,)


@dataclass(frozen=True, slots=True)
class LoanSource:
    """A prefill worker that lends an attempt's blocks."""

    address: str
    epoch: int
    member: str


class LenderLost(Exception):
    """The lender's process is gone."""


class LenderRefused(Exception):
    """The lender is there but has no such loan."""


class Lenders:
    """Channels and transports to prefill workers, made on first use and kept."""

    def __init__(self, puller: Puller, own: Pool, epoch: int, timeouts: Timeouts, dial: Dial) -> None:
        self._dial = dial
        self._near: NearLines[LoanSource] = NearLines(own, epoch, timeouts.dead_s)
        self._puller = puller
        self._epoch = epoch
        self._timeouts = timeouts
        self._lines: dict[LoanSource, tuple[grpc.aio.Channel, kvtransfer_pb2_grpc.KVTransferStub]] = {}

    async def meet(self, source: LoanSource) -> None:
        """Connects ahead of the first hand-off; should that fail, the first hand-off tries again.

        An earlier process at its address or of its name is gone: so is what led to it.
        """
        for earlier in [each for each in self._lines if _replaces(source, each)]:
            await self.forget(earlier)
        with contextlib.suppress(TransportFailed):
            await self._puller.meet(self._endpoint(source))

    async def fetch(
        self, source: LoanSource, id: AttemptId, num_skip_blocks: int
    ) -> AsyncIterator[tuple[int, tuple[BlockRef, ...]] | Manifest]:
        """The lender's stream: blocks as they become ready, then the manifest."""
        request = kvtransfer_pb2.FetchRequest(
            attempt=convert.attempt_id_to_proto(id),
            epoch=source.epoch,
            fetcher_epoch=self._epoch,
            num_skip_blocks=num_skip_blocks,
        )
        try:
            async with aclosing(self._responses(source, request)) as responses:
                async for response in responses:
                    if response.WhichOneof("event") == "sealed":
                        yield convert_kv.manifest_from_proto(response.sealed)
                    else:
                        yield response.ready.first_block, convert_kv.block_refs_from_proto(response.ready.blocks)
        except grpc.aio.AioRpcError as error:
            raise _lost_or_refused(error) from error
        except (InvalidRequest, LineRefused) as error:
            raise LenderRefused("the lender refused, or its answer cannot be read") from error
        except asyncio.CancelledError:
            if _is_ending():
                raise
            raise LenderLost("it was forgotten") from None

    async def _responses(
        self, source: LoanSource, request: kvtransfer_pb2.FetchRequest
    ) -> AsyncGenerator[kvtransfer_pb2.FetchResponse, None]:
        """Over the near line; over gRPC where there is none, or all of it again when it ended. Repeats do no harm."""
        if self._near.stands(source):
            try:
                async with aclosing(self._near.fetch(source, request)) as responses:
                    async for response in responses:
                        yield response
                    return
            except LineLost:
                if source not in self._lines:
                    raise LenderLost("it was forgotten") from None
        call = self._stub(source).Fetch(request)
        try:
            async for response in call:
                yield response
        finally:
            call.cancel()

    async def landed(self, source: LoanSource, id: AttemptId) -> Verdict | None:
        """Asks until answered, `landed_tries` times; None when no answer came."""
        request = kvtransfer_pb2.LandedRequest(attempt=convert.attempt_id_to_proto(id), epoch=source.epoch)
        num_tries = self._timeouts.landed_tries
        if self._near.stands(source):
            verdict = await self._near.landed(source, request, self._timeouts.landed_s)
            if verdict is not None:
                return VERDICTS.get(verdict, Verdict.GONE)
            num_tries = max(1, num_tries - 1)
        for _ in range(num_tries):
            try:
                response = await self._stub(source).Landed(request, timeout=self._timeouts.landed_s)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    continue
                failure = _lost_or_refused(error)
                if isinstance(failure, LenderLost):
                    raise failure from error
                return Verdict.GONE
            except asyncio.CancelledError:
                if _is_ending():
                    raise
                raise LenderLost("it was forgotten") from None
            return VERDICTS.get(response.verdict, Verdict.GONE)
        return None

    async def renew(self, source: LoanSource, id: AttemptId, patience_s: float) -> bool | None:
        """Whether the loan stands; false too when the lender was silent for so long, None when it cannot be reached
        at all: the fetch notices that it is gone.
        """
        request = kvtransfer_pb2.RenewRequest(attempt=convert.attempt_id_to_proto(id), epoch=source.epoch)
        try:
            response = await self._stub(source).Renew(request, timeout=patience_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return False
            self._near.cut(source)
            return None
        except asyncio.CancelledError:
            if _is_ending():
                raise
            return None
        return bool(response.alive)

    async def copy(self, source: LoanSource, id: AttemptId, pairs: Sequence[Pair]) -> FetchReport | None:
        """Copies and verifies; None when no transport could, or a checksum did not match."""
        try:
            return await self._puller.fetch(self._endpoint(source), id, pairs)
        except (TransportFailed, ChecksumMismatch):
            return None

    async def fence(self, source: LoanSource, id: AttemptId) -> None:
        """Returns once no copy of this attempt can write here any more."""
        await self._puller.fence(self._endpoint(source), id)

    async def forget(self, source: LoanSource) -> None:
        """This boot of the lender is gone: its connections are ended, its address may serve another boot."""
        await self._puller.forget(self._endpoint(source))
        line = self._lines.pop(source, None)
        await self._near.forget(source)
        if line is not None:
            await line[0].close(grace=None)

    @property
    def bytes_per_s(self) -> float:
        """Measured bandwidth of hand-offs into this worker."""
        return self._puller.bytes_per_s

    @property
    def totals(self) -> FetchTotals:
        """All copies since the start."""
        return self._puller.totals

    async def close(self) -> None:
        await self._puller.close()
        await self._near.close()
        for channel, _ in self._lines.values():
            await channel.close(grace=None)

    async def _describe(self, source: LoanSource) -> tuple[str, list[tuple[str, str, bytes]]]:
        request = kvtransfer_pb2.DescribeRequest(epoch=self._epoch)
        try:
            response = await self._stub(source).Describe(request, timeout=self._timeouts.dead_s)
        except grpc.aio.AioRpcError as error:
            raise TransportFailed("the lender did not say what it offers") from error
        except asyncio.CancelledError:
            if _is_ending():
                raise
            raise TransportFailed("the lender was forgotten") from None
        offers = [(t.transport, t.endpoint, t.ticket) for t in response.transports]
        for name, endpoint, ticket in offers:
            if name == NEAR:
                await self._near.open(source, source.epoch, endpoint, ticket)
        return response.layout_fingerprint, offers

    def _endpoint(self, source: LoanSource) -> Endpoint:
        return Endpoint(source.address, source.epoch, lambda: self._describe(source))

    def _stub(self, source: LoanSource) -> kvtransfer_pb2_grpc.KVTransferStub:
        line = self._lines.get(source)
        if line is None:
            channel = self._dial.open(source.address, PREFILL)
            line = self._lines[source] = (channel, kvtransfer_pb2_grpc.KVTransferStub(channel))
        return line[1]


def _is_ending() -> bool:
    """What a CancelledError means: that this task is to end, or else that the channel of its call was closed here."""
    task = asyncio.current_task()
    return task is None or bool(task.cancelling())


def _replaces(source: LoanSource, other: LoanSource) -> bool:
    return other != source and (other.address == source.address or other.member == source.member)


def _lost_or_refused(error: grpc.aio.AioRpcError) -> LenderLost | LenderRefused:
    if error.code() in LOST:
        return LenderLost(error.code().name)
    return LenderRefused(error.code().name)
