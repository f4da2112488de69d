"""JSON, strictly, as it comes: each function reads one value and echoes what is certain to be right.

The first character is given, for the caller had to look at it. What ends by itself (strings, objects, arrays) takes
nothing more; a number is ended by the character after it, which is returned. Nesting is bounded.
"""

import json
import re

from common.text.tools.grammar_steps import SPACES, Broken, Echo, Steps, run

MAX_DEPTH = 64
MAX_NUMBER_CHARS = 400
_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_NUMBERS = re.compile(r"[-+0-9.eE]")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_HEX = frozenset("0123456789abcdefABCDEF")
_LITERALS = {"t": "true", "f": "false", "n": "null"}


def value(first: str, echo: Echo, depth: int = 0) -> Steps[str]:
    """Any value; returns the character after it, or nothing when none was needed."""
    match first:
        case '"':
            yield from string(echo)
        case "{":
            yield from members(echo, depth)
        case "[":
            yield from elements(echo, depth)
        case "t" | "f" | "n":
            word = _LITERALS[first]
            for expected in word[1:]:
                if (yield None) != expected:
                    raise Broken
            echo(word)
        case _:
            return (yield from _number(first, echo))
    return ""


def string(echo: Echo) -> Steps[None]:
    """After the opening quote."""
    echo('"')
    while (piece := (yield _PLAIN)) != '"':
        if piece == "\\":
            piece += yield from _escape()
        elif not _PLAIN.match(piece):
            raise Broken
        echo(piece)
    echo('"')


def members(echo: Echo, depth: int = 0) -> Steps[None]:
    """An object after its opening brace."""
    _check_depth(depth)
    echo("{")
    char = yield from _spaces(echo)
    if char != "}":
        while True:
            if char != '"':
                raise Broken
            yield from string(echo)
            if (yield from _spaces(echo)) != ":":
                raise Broken
            echo(":")
            char = yield from _element(echo, depth)
            if char == "}":
                break
            if char != ",":
                raise Broken
            echo(",")
            char = yield from _spaces(echo)
    echo("}")


def elements(echo: Echo, depth: int = 0) -> Steps[None]:
    """An array after its opening bracket."""
    _check_depth(depth)
    echo("[")
    char = yield from _spaces(echo)
    if char != "]":
        char = yield from _element(echo, depth, char)
        while char == ",":
            echo(",")
            char = yield from _element(echo, depth)
        if char != "]":
            raise Broken
    echo("]")


def text() -> Steps[str]:
    """What a string after its opening quote says."""
    pieces: list[str] = []
    yield from string(pieces.append)
    said: str = json.loads("".join(pieces))
    return said


def _element(echo: Echo, depth: int, first: str = "") -> Steps[str]:
    """A value within another, and the character after it that is no space."""
    if not first:
        first = yield from _spaces(echo)
    after = yield from value(first, echo, depth + 1)
    if after and after not in SPACES:
        return after
    echo(after)
    return (yield from _spaces(echo))


def _spaces(echo: Echo) -> Steps[str]:
    held: list[str] = []
    char = yield None
    while char in SPACES:
        held.append(char)
        char = yield None
    if held:
        echo("".join(held))
    return char


def _escape() -> Steps[str]:
    char = yield None
    if char != "u":
        if char not in '"\\/bfnrt':
            raise Broken
        return char
    for _ in range(4):
        digit = yield None
        if digit not in _HEX:
            raise Broken
        char += digit
    return char


def _number(first: str, echo: Echo) -> Steps[str]:
    if first not in "-0123456789":
        raise Broken
    said, after = yield from run(_NUMBERS, MAX_NUMBER_CHARS, first)
    if not _NUMBER.fullmatch(said):
        raise Broken
    echo(said)
    return after


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Broken
