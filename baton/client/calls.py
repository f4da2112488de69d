"""How every call is made: one channel, one deadline over all tries, typed errors.

Repeated is only what changes nothing, and only for errors that say "later". Knows no method by name.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from common.net.channel import open_channel
from common.net.dial import authorization
from common.net.errors import from_rpc_error
from common.types.errors import BatonError, Cancelled, DeadlinePassed, Overloaded, Unavailable

T = TypeVar("T")
MAX_MESSAGE_BYTES = 16 << 20
UNREACHABLE_RETRY_MS = 200


class ServerFailed(BatonError):
    """The server broke or does not know the call; its log has more, under the error id in the text."""


class Unreachable(Unavailable):
    """Nothing answers at the target."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the caller shows, and what it wants to be shown: `host` instead of what the target names."""

    api_key: str = field(default="", repr=False)
    credentials: grpc.ChannelCredentials | None = None
    host: str = ""


class Calls:
    """One channel to one target, and the patience of its owner."""

    def __init__(self, target: str, proof: Proof, deadline_s: float, max_tries: int) -> None:
        asyncio.get_running_loop()  # a channel belongs to the loop it was made in: without one, fail here and clearly
        self.target = target
        self.channel = open_channel(
            target, max_message_bytes=MAX_MESSAGE_BYTES, credentials=proof.credentials, host=proof.host
        )
        self.metadata = authorization(proof.api_key)
        self._deadline_s = deadline_s
        self._max_tries = max_tries

    async def close(self) -> None:
        await self.channel.close()

    def budget(self, leg: str, deadline_s: float | None) -> "Budget":
        return Budget(leg, self._deadline_s if deadline_s is None else deadline_s, self._max_tries)

    async def unary(self, method: Any, request: object, leg: str, deadline_s: float | None) -> Any:
        """The answer of a call that may be repeated because it changes nothing, or nothing more the second time."""
        budget = self.budget(leg, deadline_s)
        while True:
            call = method(request, timeout=budget.remaining_s(), metadata=self.metadata)
            try:
                return await outcome(call, call, leg, self.target)
            except (Overloaded, Unavailable) as error:
                await budget.wait_for(error)
            finally:
                call.cancel()


class Connected:
    """Whoever has calls to make: closed by `close`, or by leaving `async with`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all calls in progress."""
        await self._calls.close()


class Budget:
    """Time and tries left for one thing a user asked."""

    def __init__(self, leg: str, deadline_s: float, max_tries: int) -> None:
        self._leg = leg
        self._ends = asyncio.get_running_loop().time() + deadline_s
        self._tries = max_tries

    def remaining_s(self) -> float:
        """Raises DeadlinePassed when there is none."""
        left = self._ends - asyncio.get_running_loop().time()
        if left <= 0:
            raise DeadlinePassed(self._leg)
        return left

    async def wait_for(self, error: Overloaded | Unavailable) -> None:
        """Waits as long as the error asks; raises it again when no try is left or the wait would be too long."""
        self._tries -= 1
        delay_s = error.retry_after_ms / 1000
        if self._tries <= 0 or delay_s >= self.remaining_s():
            raise error
        await asyncio.sleep(delay_s)


async def outcome(waiting: Awaitable[T], call: Any, leg: str, target: str) -> T:
    """What a call gives next, its failure as a typed error.

    grpc.aio reports a call that the *server* cancelled as if the caller's own task were cancelled; only when it is
    not, this is an answer.
    """
    try:
        return await waiting
    except grpc.aio.AioRpcError as error:
        raise typed(error, leg, target) from error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if (task is not None and task.cancelling()) or not call.done():
            raise
        raise Cancelled(await call.details() or "the server ended the call") from None


def typed(error: grpc.aio.AioRpcError, leg: str, target: str) -> BatonError:
    """The error the peer sent. One that could not be reached is unavailable, one that broke has failed."""
    found = from_rpc_error(error, leg, target)
    if isinstance(found, BatonError):
        return found
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return Unreachable(f"{target} cannot be reached", leg, UNREACHABLE_RETRY_MS)
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        hint = "clients use a router's --grpc address, operators its --fleet address"
        return ServerFailed(f"{target} does not know this call: {hint}")
    return ServerFailed(f"{target} could not answer: {found.detail}")
