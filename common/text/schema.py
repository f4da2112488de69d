"""What a JSON schema may not hold: too much of anything, or what the compiler would accept and not enforce.

Knows nothing of grammars.
"""

from typing import Any

from common.text.expression import ambiguity
from common.types.errors import invalid

MAX_DEPTH = 64
MAX_VALUES = 1 << 14
MAX_COUNT = 1 << 16
MAX_NUMBER = 1 << 53
"""From here on neighbouring whole numbers are the same to the compiler."""
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
# Keywords whose value is data, not a schema.
_DATA = frozenset({"const", "enum"})
_IDLE = frozenset({"default", "examples", "$comment", "description", "title"})  # nothing is enforced of these
NOT_SCHEMAS = _DATA | _IDLE
BY_NAME = frozenset({"properties", "patternProperties", "$defs", "definitions"})


def check_schema(schema: Any) -> None:
    """Raises InvalidRequest. Every schema in it is looked at, however it is reached."""
    num_values, waiting = 0, [(schema, 1, True)]
    while waiting:
        value, depth, is_schema = waiting.pop()
        num_values += 1
        if depth > MAX_DEPTH:
            raise _refused(f"is nested more than {MAX_DEPTH} levels deep")
        if num_values > MAX_VALUES:
            raise _refused(f"has more than {MAX_VALUES} values")
        if isinstance(value, int | float) and abs(value) > MAX_NUMBER:
            raise _refused(f"holds a number beyond {MAX_NUMBER}, which cannot be told from its neighbours")
        if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
            raise _refused("holds half a character")
        if isinstance(value, dict):
            if is_schema:
                _check_keywords(value)
            for key, inner in value.items():
                if key in BY_NAME and is_schema and isinstance(inner, dict):
                    num_values += 1
                    waiting += [(named, depth + 2, True) for named in inner.values()]
                elif not (is_schema and key in _IDLE):
                    waiting.append((inner, depth + 1, is_schema and key not in _DATA))
        elif isinstance(value, list):
            waiting += [(inner, depth + 1, is_schema) for inner in value]


def _check_keywords(schema: dict[str, Any]) -> None:
    if "x-guidance" in schema:
        raise _refused("sets x-guidance, which a request may not set")
    named = schema.get("patternProperties")
    for pattern in (schema.get("pattern"), *(named if isinstance(named, dict) else ())):
        if isinstance(pattern, str) and (ambiguous := ambiguity(pattern)) is not None:
            raise _refused(f"a pattern {ambiguous}")
    for name in _COUNTS:
        count = schema.get(name)
        if isinstance(count, int | float) and count > MAX_COUNT:
            raise _refused(f"{name} is above {MAX_COUNT}")
    least, required = schema.get("minProperties"), schema.get("required")
    num_required = len(set(map(str, required))) if isinstance(required, list) else 0
    # The same name twice would count as two properties, and only names that are listed are kept apart.
    if isinstance(least, int | float) and least > num_required + 1:
        raise _refused("minProperties can be enforced up to one above the number of required properties")


def _refused(reason: str) -> Exception:
    return invalid("constraint", reason)
