"""What an answer's text must look like. Frozen words only: what they mean is for `common/text/grammar.py` to say."""

from dataclasses import dataclass
from enum import Enum


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
