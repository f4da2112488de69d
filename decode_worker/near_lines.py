"""Near lines to lenders on this host: what a hand-off waits for travels over them where they stand, else over gRPC.

Owns the lines, never a decision: whoever gets no answer here asks again over gRPC, which alone tells what is lost.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError

from baton.v1 import kvtransfer_pb2
from kvtransfer.near.line import LineLost, LineRefused, NearLine
from kvtransfer.transports.contract import TransportFailed
from kvtransfer.transports.hello import Hello
from kvtransfer.transports.pools import Pool

_log = logging.getLogger("baton.handoff")
Source = TypeVar("Source")

__all__ = ["LineLost", "LineRefused", "NearLines"]


class NearLines(Generic[Source]):
    """At most one to each lender."""

    def __init__(self, own: Pool, epoch: int, stall_s: float) -> None:
        self._own = own
        self._epoch = epoch
        self._stall_s = stall_s
        self._lines: dict[Source, NearLine] = {}

    async def open(self, source: Source, lender_epoch: int, endpoint: str, ticket: bytes) -> None:
        """Does nothing where a line stands. That a lender cannot be reached this way is no harm: it is elsewhere."""
        if self.stands(source):
            return
        await self.forget(source)
        hello = Hello(lender_epoch, self._epoch, self._own.layout, self._own.block_bytes, ticket)
        try:
            line = await NearLine.connect(endpoint, hello, stall_s=self._stall_s)
        except TransportFailed as failure:
            _log.info("no near line", extra={"reason": failure.reason})
            return
        other = self._lines.pop(source, None)  # opened meanwhile
        self._lines[source] = line
        if other is not None:
            await other.close()

    def stands(self, source: Source) -> bool:
        line = self._lines.get(source)
        return line is not None and not line.lost

    async def fetch(
        self, source: Source, request: kvtransfer_pb2.FetchRequest
    ) -> AsyncGenerator[kvtransfer_pb2.FetchResponse, None]:
        """The lender's stream; raises `LineLost` where there is no line or it ended, `LineRefused` for a refusal."""
        line = self._line(source)
        async with aclosing(line.follow(request.SerializeToString())) as bodies:
            async for body in bodies:
                response = kvtransfer_pb2.FetchResponse()
                try:
                    response.ParseFromString(body)
                except DecodeError:
                    raise LineRefused from None
                yield response

    async def landed(
        self, source: Source, request: kvtransfer_pb2.LandedRequest, patience_s: float
    ) -> kvtransfer_pb2.Verdict | None:
        """The lender's verdict; None when it gave none here in time."""
        try:
            async with asyncio.timeout(patience_s):
                body = await self._line(source).ask(request.SerializeToString())
        except (LineLost, LineRefused, TimeoutError):
            return None
        response = kvtransfer_pb2.LandedResponse()
        try:
            response.ParseFromString(body)
        except DecodeError:
            return None
        return response.verdict

    def cut(self, source: Source) -> None:
        """The lender's server does not answer: who follows it here has to ask there what became of it."""
        if (line := self._lines.get(source)) is not None:
            line.cut()

    async def forget(self, source: Source) -> None:
        if (line := self._lines.pop(source, None)) is not None:
            await line.close()

    async def close(self) -> None:
        for source in list(self._lines):
            await self.forget(source)

    def _line(self, source: Source) -> NearLine:
        line = self._lines.get(source)
        if line is None:
            raise LineLost
        return line
