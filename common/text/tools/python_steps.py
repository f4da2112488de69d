"""Calls written as Python, `f(a=1, b="x"), g()]`, whose values are literals: echoed as JSON while they come."""

import json
import re
import sys

from common.text.tools.calls import Calls
from common.text.tools.grammar_steps import SPACES, Broken, Echo, Steps, run, spaces
from common.text.tools.json_steps import MAX_DEPTH, MAX_NUMBER_CHARS

MAX_NAME_CHARS = 256
LAST_SHORT_CODE = 0xFFFF
_NAME = re.compile(r"[A-Za-z0-9_.-]")
_WORD = re.compile(r"[A-Za-z]")
_WORDS = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false", "null": "null"}
_NUMBERS = re.compile(r"[-+0-9.eE]")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_PLAIN = re.compile(r"[^'\"\\]+")
_HEX = re.compile(r"[0-9a-fA-F]")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\\": "\\", "'": "'", '"': '"', "\n": ""}


def python_calls(calls: Calls, first: str) -> Steps[None]:
    """A list of calls from its first character that is no space, up to the closing bracket."""
    char = first
    while True:
        if not _NAME.fullmatch(char):
            raise Broken
        name, char = yield from run(_NAME, MAX_NAME_CHARS, char)
        if char != "(" or not calls.offers(name):
            raise Broken
        calls.begin(name)
        yield from _arguments(calls.arguments)
        calls.end()
        char = yield from spaces()
        if char == "]":
            return
        if char != ",":
            raise Broken
        char = yield from spaces()


def _arguments(echo: Echo) -> Steps[None]:
    """Named ones only, after the parenthesis and with the closing one."""
    echo("{")
    between = ""
    char = yield from spaces()
    while char != ")":
        if not _NAME.fullmatch(char):
            raise Broken
        name, char = yield from run(_NAME, MAX_NAME_CHARS, char)
        if (yield from _after(char)) != "=":
            raise Broken
        echo(f"{between}{json.dumps(name)}: ")
        between = ", "
        char = yield from _value(echo, 0)
        if char == ",":
            char = yield from spaces()
        elif char != ")":
            raise Broken
    echo("}")


def _value(echo: Echo, depth: int, first: str = "") -> Steps[str]:
    """A literal, and the character after it that is no space."""
    if depth > MAX_DEPTH:
        raise Broken
    char = first or (yield from spaces())
    after = ""
    if char in "\"'":
        yield from _string(char, echo)
    elif char == "[":
        yield from _list(echo, depth)
    elif char == "{":
        yield from _dict(echo, depth)
    elif _WORD.fullmatch(char):
        word, after = yield from run(_WORD, MAX_NAME_CHARS, char)
        if word not in _WORDS:
            raise Broken
        echo(_WORDS[word])
    else:
        number, after = yield from run(_NUMBERS, MAX_NUMBER_CHARS, char)
        if not _NUMBER.fullmatch(number):
            raise Broken
        echo(number)
    return (yield from _after(after))


def _list(echo: Echo, depth: int) -> Steps[None]:
    echo("[")
    between = ""
    char = yield from spaces()
    while char != "]":
        echo(between)
        between = ", "
        char = yield from _value(echo, depth + 1, char)
        if char == ",":
            char = yield from spaces()
        elif char != "]":
            raise Broken
    echo("]")


def _dict(echo: Echo, depth: int) -> Steps[None]:
    echo("{")
    between = ""
    char = yield from spaces()
    while char != "}":
        if char not in "\"'":
            raise Broken
        echo(between)
        between = ", "
        yield from _string(char, echo)
        if (yield from spaces()) != ":":
            raise Broken
        echo(": ")
        char = yield from _value(echo, depth + 1)
        if char == ",":
            char = yield from spaces()
        elif char != "}":
            raise Broken
    echo("}")


def _string(quote: str, echo: Echo) -> Steps[None]:
    echo('"')
    while (piece := (yield _PLAIN)) != quote:
        echo((yield from _escape()) if piece == "\\" else in_string(piece))
    echo('"')


def _escape() -> Steps[str]:
    """As it is written within a JSON string; what is no escape in Python stays a backslash there too."""
    char = yield None
    num_digits = {"x": 2, "u": 4, "U": 8}.get(char, 0)
    if not num_digits:
        return in_string(_ESCAPES.get(char, "\\" + char))
    digits = ""
    while len(digits) < num_digits:
        digit = yield None
        if not _HEX.fullmatch(digit):
            raise Broken
        digits += digit
    code = int(digits, 16)
    if code > sys.maxunicode:
        raise Broken
    return f"\\u{code:04x}" if code <= LAST_SHORT_CODE else chr(code)


def in_string(text: str) -> str:
    """As it is written within a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _after(char: str) -> Steps[str]:
    """The character itself, or the next that is no space."""
    return char if char and char not in SPACES else (yield from spaces())
