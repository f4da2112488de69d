"""What a call brings from its front to where the request begins: the trace that it is a part of, and its name."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from common.types.ids import new_request_id

_incoming: ContextVar[str] = ContextVar("incoming", default="")
_name: ContextVar[str] = ContextVar("name", default="")


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


@contextmanager
def named(id: str) -> Iterator[None]:
    """The request made inside is called so: a front that answers with an id before there is a request uses it."""
    token = _name.set(id)
    try:
        yield
    finally:
        _name.reset(token)


@contextmanager
def numbered(place: int) -> Iterator[None]:
    """One of several requests of one call: the first has the call's own name, the others begin with it."""
    name = _name.get()
    with named(f"{name}.{place}" if name and place else name):
        yield


def request_id() -> str:
    """As the front named it, or a new one. No two requests may have the same."""
    return _name.get() or new_request_id()
