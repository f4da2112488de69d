"""Ten moments in the life of many requests, each found by looking, never by waiting for a while."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from common.types.ids import Role
from tests.faults.crowd import Crowd
from tests.faults.watch import Watch


@dataclass(frozen=True, slots=True)
class Moment:
    """`reached` returns when it has come."""

    name: str
    reached: Callable[[Crowd, Watch], Awaitable[None]]
    in_handoff: bool = False
    """The other pool stands still when it comes: loans are open, and nobody fetches or serves them."""


async def _first_accepted(crowd: Crowd, watch: Watch) -> None:
    await crowd.until(lambda: any(stream.accepted for stream in crowd.streams))


async def _all_accepted(crowd: Crowd, watch: Watch) -> None:
    await crowd.until(lambda: all(stream.accepted for stream in crowd.streams))


async def first_started(crowd: Crowd, watch: Watch) -> None:
    """A decode member is given work once prefill has begun to compute it."""
    await watch.until(lambda members: any(m.num_attempts for m in members if m.hello.role is Role.DECODE))


async def _half_started(crowd: Crowd, watch: Watch) -> None:
    half = len(crowd.streams) // 2
    await watch.until(lambda members: sum(m.num_attempts for m in members if m.hello.role is Role.DECODE) >= half)


async def _first_token(crowd: Crowd, watch: Watch) -> None:
    await crowd.until(lambda: crowd.num_tokens > 0)


async def _half_have_a_token(crowd: Crowd, watch: Watch) -> None:
    await crowd.until(lambda: 2 * sum(stream.num_tokens > 0 for stream in crowd.streams) >= len(crowd.streams))


async def _sixteen_tokens(crowd: Crowd, watch: Watch) -> None:
    """One block of its own, in some stream."""
    await crowd.until(lambda: any(stream.num_tokens > 16 for stream in crowd.streams))


async def _half_of_all(crowd: Crowd, watch: Watch) -> None:
    await crowd.until(lambda: 2 * crowd.num_tokens >= crowd.num_wanted)


async def _near_the_end(crowd: Crowd, watch: Watch) -> None:
    await crowd.until(lambda: 10 * crowd.num_tokens >= 9 * crowd.num_wanted)


MOMENTS = (
    Moment("first-accepted", _first_accepted),
    Moment("all-accepted", _all_accepted),
    Moment("first-started", first_started),
    Moment("half-started", _half_started),
    Moment("first-token", _first_token),
    Moment("half-have-a-token", _half_have_a_token),
    Moment("in-handoff", _half_have_a_token, in_handoff=True),
    Moment("sixteen-tokens", _sixteen_tokens),
    Moment("half-of-all", _half_of_all),
    Moment("near-the-end", _near_the_end),
)
