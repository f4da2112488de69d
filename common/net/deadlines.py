"""How much time a call has left, and how much of it the next leg gets. Durations only: no clock is ever compared."""

from typing import Any

import grpc

from common.types.errors import DeadlinePassed

NETWORK_MARGIN_S = 0.02


def remaining_s(context: "grpc.aio.ServicerContext[Any, Any]", default_s: float) -> float:
    """Seconds this call may still take: the client's deadline, at most `default_s`, which also serves without one."""
    left = context.time_remaining()
    return default_s if left is None else max(0.0, min(left, default_s))


def next_leg_s(left_s: float, leg: str, *, margin_s: float = NETWORK_MARGIN_S, limit_s: float | None = None) -> float:
    """What to grant the next leg, a little less than is left, so that its refusal still arrives in time.

    Raises DeadlinePassed when nothing worth starting would be left.
    """
    granted = left_s - margin_s
    if granted <= 0:
        raise DeadlinePassed(leg)
    return granted if limit_s is None else min(granted, limit_s)


def to_ms(seconds: float) -> int:
    """For `remaining_ms` on the wire; rounds down, never below zero."""
    return max(0, int(seconds * 1000))


def from_ms(milliseconds: int, leg: str, limit_s: float) -> float:
    """What a `remaining_ms` grants, at most `limit_s`; zero means that it was over before it came."""
    if milliseconds <= 0:
        raise DeadlinePassed(leg)
    return min(milliseconds / 1000, limit_s)
