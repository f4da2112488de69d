"""Names for tool calls: random new ones, and how a foreign one is shortened for templates that take nine characters."""

import hashlib
import re
import secrets
import string
from collections.abc import Callable

ALPHABET = string.ascii_letters + string.digits
NUM_CHARS = 24
NUM_SHORT_CHARS = 9
_SHORT = re.compile(r"[a-zA-Z0-9]{9}")

NewId = Callable[[], str]
"""Gives a name no other call has."""


def new_call_id() -> str:
    return "call_" + _random(NUM_CHARS)


def new_short_call_id() -> str:
    return _random(NUM_SHORT_CHARS)


def short_call_id(id: str) -> str:
    """The id itself where it is short already, otherwise nine characters that are always the same for it."""
    if _SHORT.fullmatch(id):
        return id
    number = int.from_bytes(hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    out = ""
    for _ in range(NUM_SHORT_CHARS):
        number, digit = divmod(number, len(ALPHABET))
        out += ALPHABET[digit]
    return out


def _random(num_chars: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(num_chars))
