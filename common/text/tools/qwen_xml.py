"""`<tool_call><function=f><parameter=a>1</parameter></function></tool_call>`: values are bare text.

What a value is, the function's schema says: a string is taken as it stands, anything else as JSON where it is JSON.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from common.text.tools.calls import Calls
from common.text.tools.grammar_steps import Broken, Echo, Steps, literal, run, spaces
from common.text.tools.python_steps import in_string

MAX_NAME_CHARS = 256
CLOSING = "</parameter>"
_NAME = re.compile(r"[^<>\n]")
_PLAIN = re.compile(r"[^<\n]+")
_WORDS = {"True": "true", "False": "false", "None": "null"}


def xml_call(calls: Calls) -> Steps[None]:
    """After the first `<`, up to the function's closing tag."""
    yield from literal("function=")
    name = yield from _name()
    if not calls.offers(name):
        raise Broken
    calls.begin(name)
    yield from _parameters(calls.schema(name), calls.arguments)
    calls.end()


def _parameters(schema: Mapping[str, Any], echo: Echo) -> Steps[None]:
    echo("{")
    between = ""
    while (yield from _has_parameter()):
        name = yield from _name()
        echo(f"{between}{json.dumps(name, ensure_ascii=False)}: ")
        between = ", "
        if _is_string(schema, name):
            echo('"')
            yield from _text(lambda piece: echo(in_string(piece)))
            echo('"')
        else:
            pieces: list[str] = []
            yield from _text(pieces.append)
            echo(_as_json("".join(pieces)))
    echo("}")


def _text(say: Echo) -> Steps[None]:
    """A value up to its closing tag, without the line breaks that set it off."""
    held, first = "", True
    piece = yield _PLAIN
    while True:
        if piece == "<":
            num_matched = 1
            while num_matched < len(CLOSING) and (piece := (yield None)) == CLOSING[num_matched]:
                num_matched += 1
            if num_matched == len(CLOSING):
                return
            say(held + CLOSING[:num_matched])
            held, first = "", False
            continue
        if piece == "\n":
            say(held)
            held = "" if first else "\n"
        else:
            say(held + piece)
            held = ""
        first = False
        piece = yield _PLAIN


def _has_parameter() -> Steps[bool]:
    """Whether a parameter comes next, or the end."""
    if (yield from spaces()) != "<":
        raise Broken
    match (yield None):
        case "p":
            yield from literal("arameter=")
            return True
        case "/":
            yield from literal("function>")
            return False
        case _:
            raise Broken


def _name() -> Steps[str]:
    name, char = yield from run(_NAME, MAX_NAME_CHARS)
    if char != ">" or not name:
        raise Broken
    return name


def _is_string(schema: Mapping[str, Any], name: str) -> bool:
    properties = schema.get("properties")
    said = properties.get(name) if isinstance(properties, Mapping) else None
    return not isinstance(said, Mapping) or said.get("type") == "string"


def _as_json(text: str) -> str:
    """The text itself where it is JSON, else as a string."""
    text = _WORDS.get(text.strip(), text)
    try:
        return json.dumps(json.loads(text, parse_constant=_no_json), ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return json.dumps(text, ensure_ascii=False)


def _no_json(constant: str) -> NoReturn:
    """NaN and the like, which Python reads."""
    raise ValueError(constant)
