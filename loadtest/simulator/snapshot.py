"""Copies and canonical forms of whole sites, so that an explorer can try every next event from the same state."""

from collections.abc import Hashable
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

from common.cache.pool import BlockPool

T = TypeVar("T")
ATOMS = (int, float, str, bytes, type(None), Enum, tuple, frozenset)


def clone(value: T) -> T:
    """A copy that shares only what can never change. No mutable thing may be reachable in two ways."""
    kind = type(value)
    if _immutable(cast(Hashable, kind)):
        return value
    if isinstance(value, dict):
        return kind((key, clone(item)) for key, item in value.items())  # type: ignore[call-arg]
    if isinstance(value, list):
        return kind(clone(item) for item in value)  # type: ignore[call-arg]
    if isinstance(value, set):
        return kind(value)  # type: ignore[call-arg]
    twin = kind.__new__(kind)
    for name in _fields(value):
        setattr(twin, name, clone(getattr(value, name)))
    return twin


def freeze(value: object, leave_out: frozenset[str] = frozenset()) -> Any:
    """A hashable form, equal for states that behave alike: the order of dictionaries and of free blocks is nothing."""
    if isinstance(value, BaseException):
        return "error"
    if _immutable(cast(Hashable, type(value))):
        return value
    if isinstance(value, dict):
        return tuple((key, freeze(value[key], leave_out)) for key in sorted(value))
    if isinstance(value, list):
        return tuple(freeze(item, leave_out) for item in value)
    if isinstance(value, set):
        return tuple(sorted(value))
    if isinstance(value, BlockPool) and "_free" not in leave_out:
        return (tuple(sorted(value._free)), freeze(value, leave_out | {"_free"}))
    return tuple(freeze(getattr(value, name), leave_out) for name in _fields(value) if name not in leave_out)


@cache
def _immutable(kind: Hashable) -> bool:
    if not isinstance(kind, type):
        return False
    parameters = getattr(kind, "__dataclass_params__", None)
    return issubclass(kind, (*ATOMS, BaseException)) or (parameters is not None and bool(parameters.frozen))


def _fields(value: object) -> tuple[str, ...]:
    slots = _slots(cast(Hashable, type(value)))
    return (*slots, *vars(value)) if hasattr(value, "__dict__") else slots


@cache
def _slots(kind: Hashable) -> tuple[str, ...]:
    parents = kind.__mro__ if isinstance(kind, type) else ()
    return tuple(name for parent in parents for name in getattr(parent, "__slots__", ()))
