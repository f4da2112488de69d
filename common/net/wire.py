"""Checks on what came over the wire: every bound a message must keep, and the one error a broken one raises.

Bounds here protect memory and arithmetic (a token id must fit 31 bits, lists must end); what a server is willing to
serve is smaller and decided where requests are admitted.
"""

import math
import re
from collections.abc import Collection, Sequence

from common.types.errors import invalid

MAX_TOKENS = 1 << 20
MAX_TOKEN_ID = (1 << 31) - 1
MAX_BLOCKS = 1 << 20
MAX_BLOCK = (1 << 31) - 1
MAX_CHOICES = 128
MAX_STOP_TOKENS = 256
MAX_LOGIT_BIAS = 1024
MAX_TOP_LOGPROBS = 128
MAX_SALT_BYTES = 64
MAX_HASHES = 1 << 16
MAX_TRANSPORTS = 16
MAX_ROWS = 1 << 15
MAX_SCORES = 1 << 15
"""Log probabilities in a frame: with as many rows it stays below a message's limit of 1 MiB."""
MAX_U32 = (1 << 32) - 1
MAX_U64 = (1 << 64) - 1

_NAME = re.compile(r"[!-~]+")


def name(field: str, value: str, limit: int = 128) -> str:
    """An identifier: visible ASCII without spaces, so that it is safe in logs and metric labels."""
    if not value:
        raise invalid(field, "must be set")
    if len(value) > limit or _NAME.fullmatch(value) is None:
        raise invalid(field, f"must be at most {limit} visible ASCII characters")
    return value


def text(field: str, value: str, limit: int = 256) -> str:
    """A human name: anything printable."""
    if not value:
        raise invalid(field, "must be set")
    if len(value) > limit or not value.isprintable():
        raise invalid(field, f"must be at most {limit} printable characters")
    return value


def number(field: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise invalid(field, f"must be between {low} and {high}")
    return value


def real(field: str, value: float, low: float, high: float) -> float:
    """A finite number within bounds; not-a-number fails every comparison and so is refused too."""
    if not low <= value <= high:
        raise invalid(field, f"must be between {low:g} and {high:g}")
    return value


def log_probability(field: str, value: float) -> float:
    """Anything but not-a-number: minus infinity is a token that cannot be."""
    if math.isnan(value):
        raise invalid(field, "must be a number")
    return value


def bounded(field: str, values: Collection[object], high: int, low: int = 0) -> None:
    """How many entries a list may have."""
    if not low <= len(values) <= high:
        raise invalid(field, f"must have between {low} and {high} entries")


def token_ids(field: str, values: Sequence[int], high: int = MAX_TOKENS, low: int = 0) -> tuple[int, ...]:
    bounded(field, values, high, low)
    ids = tuple(values)
    if ids and max(ids) > MAX_TOKEN_ID:
        raise invalid(field, f"token ids must be at most {MAX_TOKEN_ID}")
    return ids


def distinct(field: str, values: Sequence[int]) -> None:
    if len(set(values)) != len(values):
        raise invalid(field, "must not repeat an entry")
