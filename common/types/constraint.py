"""What an answer's text must look like. Frozen words only: what they mean is for `common/text/grammar.py` to say."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

MAX_SOURCE_CHARS = 1 << 17


class ConstraintKind(Enum):
    """In which language a constraint is written."""

    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    GRAMMAR = "grammar"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Constraint:
    """`source` is a schema's JSON text, a regular expression the whole answer matches, a grammar in Lark's syntax, or a
    JSON list of the texts to choose from; empty for JSON_OBJECT, which is any JSON object.
    """

    kind: ConstraintKind
    source: str = ""

    @classmethod
    def json_object(cls) -> "Constraint":
        return cls(ConstraintKind.JSON_OBJECT)

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | bool) -> "Constraint":
        """Raises ValueError or TypeError for what JSON cannot say."""
        return cls(ConstraintKind.JSON_SCHEMA, json.dumps(schema, allow_nan=False))

    @classmethod
    def regex(cls, expression: str) -> "Constraint":
        return cls(ConstraintKind.REGEX, expression)

    @classmethod
    def grammar(cls, text: str) -> "Constraint":
        return cls(ConstraintKind.GRAMMAR, text)

    @classmethod
    def choice(cls, texts: Sequence[str]) -> "Constraint":
        return cls(ConstraintKind.CHOICE, json.dumps(list(texts)))
