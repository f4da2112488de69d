"""Whether an answer is what its constraint asked for: jsonschema and Python's `re` say so, not what made it."""

import functools
import json
import re

import jsonschema

from common.types.constraint import Constraint, ConstraintKind


def complaint(constraint: Constraint, text: str) -> str:
    """Empty when the answer is as it should be."""
    if constraint.kind is ConstraintKind.REGEX:
        # digits, letters and blanks are ASCII's, as in JSON Schema
        return "" if re.fullmatch(constraint.source, text, re.ASCII) else "does not match"
    if constraint.kind is ConstraintKind.CHOICE:
        return "" if text in json.loads(constraint.source) else "is none of the choices"
    try:
        value = json.loads(text, parse_constant=_refuse)
    except ValueError as broken:
        return f"is not JSON: {broken}"
    if constraint.kind is ConstraintKind.JSON_OBJECT:
        return "" if isinstance(value, dict) else "is no object"
    error = next(_validator(constraint.source).iter_errors(value), None)
    return "" if error is None else f"at {error.json_path}: {error.message[:200]}"


def _refuse(name: str) -> None:
    """Python reads NaN and Infinity; JSON has neither."""
    raise ValueError(name)


@functools.lru_cache(maxsize=64)
def _validator(source: str) -> jsonschema.Draft202012Validator:
    formats = jsonschema.Draft202012Validator.FORMAT_CHECKER
    return jsonschema.Draft202012Validator(json.loads(source), format_checker=formats)
