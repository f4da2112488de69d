"""Makes a schema's dates ones that a calendar has: the compiler's own format knows neither leap years nor that no year
is 0. Knows nothing of times of day.
"""

from typing import Any

from common.text.schema import BY_NAME, NOT_SCHEMAS

_CENTURY_OR_YEAR = "(?:0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = f"(?:[0-9]{{2}}{_CENTURY_OR_YEAR}|{_CENTURY_OR_YEAR}00)"
_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_DATE = f"(?:{_LEAP_YEAR}-02-29|{_YEAR}-(?:02-(?:[01][0-9]|2[0-8])|(?:0[13-9]|1[0-2])-[0-9]{{2}}))"
PATTERNS = {"date": f"^{_DATE}$", "date-time": f"^{_DATE}[tT]"}


def with_real_dates(schema: Any) -> Any:
    """A copy in which each `format` that has a date says so by a pattern as well."""
    if isinstance(schema, list):
        return [with_real_dates(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _inner(key, value) for key, value in schema.items()}
    form = made.get("format")
    if isinstance(form, str) and form in PATTERNS:
        also = made.get("allOf")
        made["allOf"] = [*(also if isinstance(also, list) else ()), {"pattern": PATTERNS[form]}]
    return made


def _inner(key: str, value: Any) -> Any:
    if key in NOT_SCHEMAS:
        return value
    if key in BY_NAME and isinstance(value, dict):
        return {name: with_real_dates(named) for name, named in value.items()}
    return with_real_dates(value)
