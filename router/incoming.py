"""The trace that a call came as a part of, from its front to where the request's own span begins."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_incoming: ContextVar[str] = ContextVar("incoming", default="")


@contextmanager
def part_of(traceparent: str) -> Iterator[None]:
    """What is called inside is a part of this trace; an empty text begins a new one."""
    token = _incoming.set(traceparent)
    try:
        yield
    finally:
        _incoming.reset(token)


def incoming() -> str:
    """W3C's trace context as the client sent it, unchecked; empty when it sent none."""
    return _incoming.get()
