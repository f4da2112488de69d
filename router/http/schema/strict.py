"""How every body is read: strictly, by one model, with errors in fixed words. Knows no particular body."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, ValidationError, model_validator
from pydantic_core import ErrorDetails

from common.types.errors import InvalidRequest, Violation

MAX_NAMED = 8
MAX_NAME_CHARS = 64
"""No field has a longer name, and none is worth looking for the nearest to."""


class Strict(BaseModel):
    """Unknown fields are errors, nothing is coerced. `refused` names what exists elsewhere, and why not here."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)
    refused: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, given: Any) -> Any:
        """Clients send back what they were given, with null for all that is not there."""
        if isinstance(given, dict) and any(name in given and given[name] is None for name in cls.refused):
            return {name: value for name, value in given.items() if value is not None or name not in cls.refused}
        return given


class FirstOnly(FailFast):
    """One complaint about a list, not one for each of a million entries. Hashable, as a choice of forms needs it."""

    __hash__ = object.__hash__


Model = TypeVar("Model", bound=Strict)


def read(model: type[Model], body: Mapping[str, Any]) -> Model:
    """Raises InvalidRequest with every field that is wrong, the unknown ones first."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True, include_input=False)
    unknown = [detail for detail in details if detail["type"] == "extra_forbidden"]
    others = [detail for detail in details if detail["type"] != "extra_forbidden"]
    raise InvalidRequest(*_violations(model, unknown), *_violations(model, others)) from None


def _violations(model: type[Strict], details: list[ErrorDetails]) -> Iterator[Violation]:
    """One for each field: the branches of a choice of forms all complain, and none is the cause."""
    seen: set[str] = set()
    for detail in details:
        field = _field(detail["loc"])
        if field in seen or len(seen) >= MAX_NAMED:
            continue
        seen.add(field)
        if detail["type"] == "extra_forbidden":
            yield Violation(field, _why_unknown(model, detail["loc"]))
        else:
            yield Violation(field, _words(detail))


def _why_unknown(model: type[Strict], location: tuple[int | str, ...]) -> str:
    name = str(location[-1])
    parts = [model] if len(location) == 1 else [part for part in Strict.__subclasses__() if name in part.refused]
    for part in parts:
        if name in part.refused:
            return f"is not supported: {part.refused[name]}"
    is_name = len(location) == 1 and len(name) <= MAX_NAME_CHARS
    nearest = get_close_matches(name, model.model_fields, 1) if is_name else []
    return f"is not known; did you mean {nearest[0]!r}?" if nearest else "is not known here"


def _field(location: tuple[int | str, ...]) -> str:
    """`messages[0].content`; without the names of forms a value may have, which begin with `~`, and of plain types."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not part.startswith("~") and not (text and part in _TYPE_NAMES):
            text += f".{part}" if text else part
    return text[:160] or "body"


_TYPE_NAMES = {"bool", "int", "float", "str"}


def _words(detail: ErrorDetails) -> str:
    """The library's own words may quote the input or change with its version."""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return "must be set"
        case "literal_error":
            return f"must be {context['expected']}".replace("False", "false")
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "less_than":
            return f"must be less than {context['lt']}"
        case "too_long":
            return f"must have at most {context['max_length']} entries"
        case "too_short":
            return f"must have at least {context['min_length']} entries"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "string_too_short":
            return f"must have at least {context['min_length']} characters"
        case "union_tag_invalid" | "union_tag_not_found":
            return f"must have a known {context['discriminator']}"
        case kind:
            return _TYPES.get(kind, "is not of a form that is accepted here")


_TYPES = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_pattern_mismatch": "has characters that are not accepted here",
}
