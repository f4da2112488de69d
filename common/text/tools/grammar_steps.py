"""How a call's text is read: parsers are generators that are sent the text as it comes.

A parser yields what it wants next, None for one character or a pattern for a run of them, and is sent that (a run may
arrive in several pieces, or begin with a character that is not of the pattern: then it is sent alone). So no parser can
see where the text was split. It raises Broken at the first character that cannot be.
"""

import re
from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")
Steps = Generator["re.Pattern[str] | None", str, T]
Echo = Callable[[str], object]
"""Is told the text that was found right."""

SPACES = " \t\r\n"


class Broken(Exception):
    """The text is no call. The character that was sent last is not taken."""


def spaces() -> Steps[str]:
    """The first character that is no space."""
    char = yield None
    while char in SPACES:
        char = yield None
    return char


def literal(text: str) -> Steps[None]:
    for expected in text:
        if (yield None) != expected:
            raise Broken


def run(pattern: "re.Pattern[str]", longest: int, first: str = "") -> Steps[tuple[str, str]]:
    """All characters of the pattern, and the first that is not. Short texts only: character by character."""
    said = first
    while pattern.fullmatch(char := (yield None)):
        said += char
        if len(said) > longest:
            raise Broken
    return said, char
