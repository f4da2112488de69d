"""What a call brings from its front to where the request begins: the trace that it is a part of, and its name."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

from common.types.ids import new_request_id

_incoming: ContextVar[str] = ContextVar("incoming", default="")
_name: ContextVar[str] = ContextVar("name", default="")


def part_of(traceparent: str) -> AbstractContextManager[None]:
    """What is called inside is a part of this trace; an empty text begins a new one."""
    return _inside(_incoming, traceparent)


def incoming() -> str:
    """W3C's trace context as the client sent it, unchecked; empty when it sent none."""
    return _incoming.get()


def named(id: str) -> AbstractContextManager[None]:
    """The request made inside is called so: a front that answers with an id before there is a request uses it."""
    return _inside(_name, id)


def numbered(place: int) -> AbstractContextManager[None]:
    """One of several requests of one call: the first has the call's own name, the others begin with it."""
    name = _name.get()
    return named(f"{name}.{place}" if name and place else name)


def request_id() -> str:
    """As the front named it, or a new one. No two requests may have the same."""
    return _name.get() or new_request_id()


@contextmanager
def _inside(variable: ContextVar[str], value: str) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
