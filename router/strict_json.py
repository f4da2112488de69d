"""JSON as a server should read it: one meaning or none. Pure.

Refused: duplicate keys, NaN and infinities, numbers beyond a double, deep nesting, objects without end, and text that
is not Unicode.
"""

import json
import re
from typing import Any, NoReturn

from common.types.errors import invalid

MAX_DEPTH = 64
MAX_MEMBERS = 8192
"""Of one object: whoever looks at each of them holds up the streams of others."""
BODY = "body"
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""Brackets, and strings as a whole, closed or not: one pass whatever was sent."""


class _Refused(ValueError):
    """Raised inside the decoder, with words of our own."""


def parse(body: bytes) -> Any:
    """Raises InvalidRequest that names the body and says what is wrong, never quoting it."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise invalid(BODY, "is not UTF-8") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _too_nested(text):
        raise invalid(BODY, f"is nested more than {MAX_DEPTH} levels deep")
    try:
        value = _DECODER.decode(text)
    except _Refused as error:
        raise invalid(BODY, str(error)) from None
    except json.JSONDecodeError as error:
        raise invalid(BODY, f"is not JSON: see line {error.lineno}, column {error.colno}") from None
    except ValueError:
        raise invalid(BODY, "has a number that is too long") from None
    if "\\ud" in text or "\\uD" in text:
        _check_unicode(value)
    return value


def parse_object(body: bytes) -> dict[str, Any]:
    value = parse(body)
    if not isinstance(value, dict):
        raise invalid(BODY, "must be a JSON object")
    return value


def _too_nested(text: str) -> bool:
    """Seen before decoding: the decoder would recurse that far."""
    depth = 0
    for found in _BRACKETS.finditer(text):
        bracket = found[0]
        if bracket in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif bracket in "]}":
            depth -= 1
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise _Refused(f"has an object with more than {MAX_MEMBERS} keys")
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("has an object with a key twice")
    return found


def _constant(name: str) -> NoReturn:
    raise _Refused("has NaN or Infinity, which are not JSON")


def _float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise _Refused("has a number that is too large")
    return number


def _check_unicode(value: Any) -> None:
    """Half of a surrogate pair is JSON, and no character: nothing further on could encode it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise invalid(BODY, "has half of a surrogate pair, which is no character") from None


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
