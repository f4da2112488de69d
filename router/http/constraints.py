"""Which constraint a body asks for, in whichever of the dialects. Pure; what it means is checked by the serving."""

import json
from typing import Any

from common.types.constraint import Constraint, ConstraintKind
from common.types.errors import InvalidRequest, Violation, invalid
from router.http.schema.chat import ChatBody
from router.http.schema.sampled import Sampled

Named = tuple[str, Constraint]


def constraint_of(body: Sampled) -> Named | None:
    """With the name of the field that asks for it; raises InvalidRequest when two do."""
    found = [*_guided(body), *_structured(body), *(_response_format(body) if isinstance(body, ChatBody) else ())]
    if len(found) > 1:
        text = f"cannot be combined with {found[0][0]}"
        raise InvalidRequest(*(Violation(name, text) for name, _ in found[1:]))
    return found[0] if found else None


def _guided(body: Sampled) -> list[Named]:
    named: list[tuple[str, ConstraintKind, Any]] = [
        ("guided_json", ConstraintKind.JSON_SCHEMA, body.guided_json),
        ("guided_regex", ConstraintKind.REGEX, body.guided_regex),
        ("guided_grammar", ConstraintKind.GRAMMAR, body.guided_grammar),
        ("guided_choice", ConstraintKind.CHOICE, body.guided_choice),
    ]
    return [(name, Constraint(kind, _source(name, value))) for name, kind, value in named if value is not None]


def _structured(body: Sampled) -> list[Named]:
    asked = body.structured_outputs
    if asked is None:
        return []
    prefix = "structured_outputs."
    named: list[tuple[str, ConstraintKind, Any]] = [
        ("json", ConstraintKind.JSON_SCHEMA, asked.json_),
        ("regex", ConstraintKind.REGEX, asked.regex),
        ("grammar", ConstraintKind.GRAMMAR, asked.grammar),
        ("choice", ConstraintKind.CHOICE, asked.choice),
        ("json_object", ConstraintKind.JSON_OBJECT, "" if asked.json_object else None),
    ]
    found = [(prefix + name, kind, value) for name, kind, value in named if value is not None]
    if not found:
        raise invalid("structured_outputs", "must say what the answer must satisfy")
    return [(name, Constraint(kind, _source(name, value))) for name, kind, value in found]


def _response_format(body: ChatBody) -> list[Named]:
    asked = body.response_format
    if asked is None:
        return []
    field = "response_format.json_schema"
    if asked.type != "json_schema":
        if asked.json_schema is not None:
            raise invalid(field, "goes with type json_schema")
        if asked.type == "text":
            return []
        return [("response_format", Constraint(ConstraintKind.JSON_OBJECT))]
    if asked.json_schema is None or asked.json_schema.schema_ is None:
        raise invalid(field if asked.json_schema is None else f"{field}.schema", "must be set")
    return [(f"{field}.schema", Constraint(ConstraintKind.JSON_SCHEMA, json.dumps(asked.json_schema.schema_)))]


def _source(name: str, value: Any) -> str:
    """Schemas come as objects or as text, the others as they are written."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list | bool):
        return json.dumps(value)
    raise invalid(name, "must be a JSON schema")
