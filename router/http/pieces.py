"""JSON made cheaply: texts are quoted by the library's own C function, everything around them is written once.

ASCII only: no client can split a character, or take a line separator inside a text for the end of an event.
"""

import json
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

__all__ = ["DONE", "dumped", "event", "quoted"]

DONE = b"data: [DONE]\n\n"


def dumped(value: Any) -> str:
    """Small, and what is not finite as null: JSON has no word for it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def event(data: str) -> bytes:
    """One server-sent event; `data` is one line of ASCII."""
    return f"data: {data}\n\n".encode("ascii")
