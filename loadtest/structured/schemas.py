"""Random JSON schemas: what people write, nested and combined, and now and then what nobody can enforce.

A seed is a schema. Owns the choice of words; knows nothing of who judges the answers.
"""

import random
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

DEPTH = 3
NAMES = ("name", "id", "größe", "tags", "a b", 'quo"te', "x", "value", "items", "next", "kind", "é", "$ref")
WORDS = ("red", "green", "", "a\\b", 'say "hi"', "übergabe", "零", "true", "line\nbreak", "🙂", "a/b")
PATTERNS = (
    "^[a-z]{2,6}$",
    "[0-9]+",
    "^(foo|bar)-[A-F0-9]{4}$",
    "^x",
    "y$",
    r"^\d{4}-\d{2}$",
    "^a|b$",
    r"^[^\s@]+@b\.c$",
)
FORMATS = ("date", "time", "date-time", "uuid", "ipv4", "email")
UNENFORCEABLE: tuple[Schema, ...] = (
    {"not": {"type": "string"}},
    {"type": "array", "uniqueItems": True},
    {"if": {"type": "string"}, "then": {"minLength": 2}},
    {"type": "object", "dependentRequired": {"a": ["b"]}},
    {"type": "object", "propertyNames": {"maxLength": 2}},
    {"type": "array", "contains": {"type": "null"}},
    {"type": "string", "pattern": "(?=a)b"},
    {"type": "string", "format": "no-such-format"},
    {"type": "object", "minProperties": 3},
    {"$ref": "https://example.org/elsewhere.json"},
    {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    {"type": "integer", "minimum": 5, "maximum": 4},
)


def random_schema(seed: int) -> Schema:
    """One in eight holds something that cannot be enforced."""
    pick = random.Random(seed)
    schema = _schema(pick, DEPTH)
    if pick.random() < 1 / 8:
        schema = {"type": "object", "properties": {"odd": pick.choice(UNENFORCEABLE), "rest": schema}}
        schema["required"] = ["odd"]
    if pick.random() < 1 / 5:
        schema["$defs"] = {"leaf": _leaf(pick), "tree": _tree(pick)}
        refs = [{"$ref": "#/$defs/leaf"}, {"$ref": "#/$defs/tree"}]
        schema = {**schema, "$defs": schema["$defs"]} if pick.random() < 0.2 else _holder(schema, refs)
    return schema


def _schema(pick: random.Random, depth: int) -> Schema:
    if depth == 0 or pick.random() < 0.3:
        return _leaf(pick)
    made: tuple[Callable[[random.Random, int], Schema], ...] = (_object, _object, _array, _either, _both)
    return pick.choice(made)(pick, depth - 1)


def _leaf(pick: random.Random) -> Schema:
    return pick.choice((_string, _string, _number, _integer, _fixed, _plain))(pick)


def _plain(pick: random.Random) -> Schema:
    return pick.choice(({"type": "boolean"}, {"type": "null"}, {"type": ["integer", "null"]}, {"type": "string"}))


def _fixed(pick: random.Random) -> Schema:
    values: list[Any] = [*pick.sample(WORDS, 3), pick.randint(-9, 9), None, True, 1.5, ["a", 1], {"k": "v"}]
    return {"const": pick.choice(values)} if pick.random() < 0.3 else {"enum": pick.sample(values, pick.randint(1, 4))}


def _string(pick: random.Random) -> Schema:
    kind = pick.random()
    if kind < 0.25:
        return {"type": "string", "pattern": pick.choice(PATTERNS)}
    if kind < 0.4:
        return {"type": "string", "format": pick.choice(FORMATS)}
    schema: Schema = {"type": "string"}
    if pick.random() < 0.5:
        schema["minLength"] = pick.randint(0, 5)
    if pick.random() < 0.7:
        schema["maxLength"] = pick.randint(5, 30)
    return schema


def _integer(pick: random.Random) -> Schema:
    low = pick.randint(-200, 200)
    schema: Schema = {"type": "integer"}
    if pick.random() < 0.6:
        schema[pick.choice(("minimum", "exclusiveMinimum"))] = low
    if pick.random() < 0.6:
        schema[pick.choice(("maximum", "exclusiveMaximum"))] = low + pick.randint(2, 5000)
    if pick.random() < 0.2:
        schema["multipleOf"] = pick.choice((2, 5, 10))
    return schema


def _number(pick: random.Random) -> Schema:
    low = round(pick.uniform(-50, 50), pick.randint(0, 2))
    schema: Schema = {"type": "number"}
    if pick.random() < 0.6:
        schema["minimum"] = low
    if pick.random() < 0.6:
        schema["maximum"] = round(low + pick.uniform(1, 90), 2)
    return schema


def _array(pick: random.Random, depth: int) -> Schema:
    schema: Schema = {"type": "array", "items": _schema(pick, depth)}
    if pick.random() < 0.3:
        schema["prefixItems"] = [_schema(pick, depth) for _ in range(pick.randint(1, 2))]
        schema["items"] = pick.choice((False, _leaf(pick)))
        return schema
    if pick.random() < 0.5:
        schema["minItems"] = pick.randint(0, 2)
    schema["maxItems"] = pick.randint(2, 5)
    return schema


def _object(pick: random.Random, depth: int) -> Schema:
    names = pick.sample(NAMES, pick.randint(0, 4))
    schema: Schema = {"type": "object", "properties": {name: _schema(pick, depth) for name in names}}
    schema["required"] = [name for name in names if pick.random() < 0.6]
    extra = pick.random()
    if extra < 0.5:
        schema["additionalProperties"] = False
    elif extra < 0.65:
        schema["additionalProperties"] = _leaf(pick)
    elif extra < 0.75:
        schema["patternProperties"] = {"^n_": {"type": "integer"}, "^s_": {"type": "string", "maxLength": 9}}
        schema["additionalProperties"] = False
    if not names and pick.random() < 0.5:
        schema["minProperties"], schema["maxProperties"] = 1, 3
        schema["additionalProperties"] = _leaf(pick)
    return schema


def _either(pick: random.Random, depth: int) -> Schema:
    if pick.random() < 0.4:
        kinds = pick.sample(("cat", "dog", "cow"), 2)
        return {"oneOf": [_tagged(kind, _schema(pick, depth)) for kind in kinds]}
    return {"anyOf": [_schema(pick, depth) for _ in range(pick.randint(1, 3))]}


def _tagged(kind: str, rest: Schema) -> Schema:
    return {"type": "object", "properties": {"kind": {"const": kind}, "of": rest}, "required": ["kind", "of"]}


def _both(pick: random.Random, depth: int) -> Schema:
    left, right = _object(pick, depth), _object(pick, depth)
    right["properties"] = {f"r_{name}": inner for name, inner in right["properties"].items()}
    right["required"] = [f"r_{name}" for name in right["required"]]
    for side in (left, right):
        for word in ("additionalProperties", "patternProperties", "minProperties", "maxProperties"):
            side.pop(word, None)
    return {"allOf": [left, right]}


def _tree(pick: random.Random) -> Schema:
    return {
        "type": "object",
        "properties": {"v": _leaf(pick), "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/tree"}]}},
        "required": ["v", "next"],
        "additionalProperties": False,
    }


def _holder(schema: Schema, refs: list[Schema]) -> Schema:
    defs = schema.pop("$defs")
    return {"type": "array", "prefixItems": [schema, *refs], "minItems": 3, "items": False, "$defs": defs}
