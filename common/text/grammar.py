"""What each kind of constraint means: the grammar that llguidance compiles, after every check that needs no compiler.

Owns how large and how deep a constraint may be, and which of the compiler's own options are not for requests to set.
Knows nothing of tokens; the compiler's refusals stand in `common/text/compiler.py`.
"""

import json
import re
from typing import Any

from llguidance import regex_to_lark
from llguidance.gbnf_to_lark import any_to_lark

from common.text.dates import with_real_dates
from common.text.expression import ambiguity
from common.text.schema import check_schema
from common.types.constraint import MAX_SOURCE_CHARS, Constraint, ConstraintKind
from common.types.errors import InvalidRequest, invalid

FIELD = "constraint"
MAX_CHOICES = 4096
MAX_GBNF_CHARS = 1 << 14
MAX_REPEATS = 4096
"""Of an expression: what compiling takes grows with their square."""
# Any number of blanks wherever JSON allows one invites a weak model to write nothing else.
_JSON_OPTIONS = {"whitespace_pattern": r"[\x20\x0A\x0D\x09]{1,40}"}
OWN_OPTIONS = json.dumps({"x-guidance": _JSON_OPTIONS})[1:-1]
"""What a grammar made here says in its `%json`: the one option of the compiler that may stand in a source."""
# Attributes stand between a rule's name and its colon; a schema's own texts may say the same words and mean nothing.
_OPTIONS = re.compile(
    r'"x-guidance"\s*:|"allow_invalid_utf8"\s*:|^[ \t]*[?!]*[\w.-]+[ \t]*\[[^\]\n]*\b(temperature|stop)\s*=',
    re.MULTILINE,
)
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def grammar_of(constraint: Constraint) -> str:
    """What to compile; raises InvalidRequest."""
    source = constraint.source
    if len(source) > MAX_SOURCE_CHARS:
        raise refused(f"has {len(source)} characters, at most {MAX_SOURCE_CHARS} are allowed")
    if any("\ud800" <= char <= "\udfff" for char in source):
        raise refused("holds half a character")
    if constraint.kind is ConstraintKind.JSON_OBJECT:
        if source:
            raise refused("any JSON object takes no source")
        return _json_schema({"type": "object"})
    if not source.strip():
        raise refused("must not be empty")
    match constraint.kind:
        case ConstraintKind.JSON_SCHEMA:
            schema = _parsed(source)
            check_schema(schema)
            return _json_schema(with_real_dates(schema))
        case ConstraintKind.REGEX:
            return _lark(f"start: /{_regex(source)}/")
        case ConstraintKind.CHOICE:
            return _lark(f"start: /{'|'.join(map(_escaped, _choices(source)))}/")
        case ConstraintKind.GRAMMAR:
            return _lark(_grammar(source))


def refused(reason: str) -> InvalidRequest:
    """Every refusal names the same field; each front says what it is called there."""
    return invalid(FIELD, reason)


def _parsed(source: str) -> Any:
    try:
        return json.loads(source, parse_constant=_refuse_constant)
    except RecursionError:
        raise refused("is nested too deeply") from None
    except ValueError as error:
        place = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise refused(f"is not JSON{place}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _json_schema(schema: Any) -> str:
    """`true` is a schema too, and the options need an object to stand in."""
    if schema is True:
        schema = {}
    if schema is False:
        raise refused("can be met by no text")
    if not isinstance(schema, dict):
        raise refused("is no schema: that would be a JSON object")
    return json.dumps({"grammars": [{"json_schema": {**schema, "x-guidance": _JSON_OPTIONS}}]})


def _lark(text: str) -> str:
    return json.dumps({"grammars": [{"lark_grammar": text}]})


def _regex(source: str) -> str:
    r"""Rust's dialect, in which `\d`, `\w` and `\s` mean ASCII, as in the patterns of JSON Schema."""
    if (len(source) - len(source.rstrip("\\"))) % 2:
        raise refused("ends within an escape")
    if sum(map(source.count, "*+?{")) > MAX_REPEATS:
        raise refused(f"has more than {MAX_REPEATS} repetitions")
    ambiguous = ambiguity(source)
    if ambiguous is not None:
        raise refused(ambiguous)
    return regex_to_lark(source, "dws")


def _escaped(text: str) -> str:
    return "".join(char if char in _PLAIN else f"\\x{{{ord(char):X}}}" for char in text)


def _choices(source: str) -> list[str]:
    texts = _parsed(source)
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise refused("must be a JSON list of texts, none of them empty")
    if not 0 < len(texts) <= MAX_CHOICES:
        raise refused(f"has {len(texts)} texts to choose from, 1 to {MAX_CHOICES} are allowed")
    if any("\ud800" <= char <= "\udfff" for text in texts for char in text):
        raise refused("holds half a character")
    return texts


def _grammar(source: str) -> str:
    """Grammars of the EBNF kind that llama.cpp made common are rewritten first."""
    if _OPTIONS.search(source.replace(OWN_OPTIONS, "")):
        raise refused("sets an option of the compiler that a request may not set")
    if "::=" not in source:
        return source
    if len(source) > MAX_GBNF_CHARS:
        raise refused(f"has {len(source)} characters, at most {MAX_GBNF_CHARS} are allowed in this syntax")
    try:
        return str(any_to_lark(source))
    except Exception as error:  # noqa: BLE001 - the converter raises nothing narrower for a missing rule
        if re.fullmatch(r"Rule '.*' not found", str(error)):
            raise refused("refers to a name that it does not define") from None
        raise refused("is a grammar neither in Lark's syntax nor in GBNF") from None
