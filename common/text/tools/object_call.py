"""A call written as a JSON object: `{"name": "f", "arguments": {...}}`, its members in any order.

Arguments that come before the name wait for it. Also accepted: `parameters` for `arguments`, arguments as a string that
holds the object, none at all, and members that say nothing to us, such as `id` and `type`.
"""

import json
from collections.abc import Container
from typing import NoReturn

from common.text.tools import json_steps
from common.text.tools.calls import Calls
from common.text.tools.grammar_steps import SPACES, Broken, Steps, spaces

NAMES = ("name", "function")
ARGUMENTS = ("arguments", "parameters")
KNOWN = (*NAMES, *ARGUMENTS, "id", "type")


def object_call(calls: Calls, known: Container[str] | None = None) -> Steps[None]:
    """After the opening brace, up to the closing one. A member that is not `known` breaks it; all are if None."""
    reading = _Reading(calls)
    char = yield from spaces()
    while True:
        if char != '"':
            raise Broken
        key = yield from json_steps.text()
        if known is not None and key not in known:
            raise Broken
        if (yield from spaces()) != ":":
            raise Broken
        char = yield from reading.member(key, (yield from spaces()))
        if char == "}":
            break
        if char != ",":
            raise Broken
        char = yield from spaces()
    reading.finish()


def object_calls(calls: Calls, known: Container[str] | None = None) -> Steps[None]:
    """An array of them, after its opening bracket and the first one's brace, up to the closing bracket."""
    char = "{"
    while True:
        if char != "{":
            raise Broken
        yield from object_call(calls, known)
        char = yield from spaces()
        if char == "]":
            return
        if char != ",":
            raise Broken
        char = yield from spaces()


class _Reading:
    """One object so far."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._name = ""
        self._waiting: list[str] = []
        self._has_arguments = False

    def member(self, key: str, first: str) -> Steps[str]:
        """Reads the value of that key; returns the character after it that is no space."""
        if key in NAMES:
            yield from self._read_name(first)
        elif key in ARGUMENTS:
            yield from self._read_arguments(first)
        else:
            after = yield from json_steps.value(first, _ignore)
            if after and after not in SPACES:
                return after
        return (yield from spaces())

    def finish(self) -> None:
        if not self._name:
            raise Broken
        if not self._has_arguments:
            self._calls.begin(self._name)
            self._calls.arguments("{}")
        self._calls.end()

    def _read_name(self, first: str) -> Steps[None]:
        if first != '"' or self._name:
            raise Broken
        name = yield from json_steps.text()
        if not name or not self._calls.offers(name):
            raise Broken
        self._name = name
        if self._has_arguments:
            self._calls.begin(name)
            self._calls.arguments("".join(self._waiting))

    def _read_arguments(self, first: str) -> Steps[None]:
        if self._has_arguments:
            raise Broken
        self._has_arguments = True
        if first == "{":
            if self._name:
                self._calls.begin(self._name)
            yield from json_steps.members(self._calls.arguments if self._name else self._waiting.append)
            return
        if first == '"':
            self._waiting.append(_object_in((yield from json_steps.text())))
        elif first == "n":
            yield from json_steps.value(first, _ignore)
            self._waiting.append("{}")
        else:
            raise Broken
        if self._name:
            self._calls.begin(self._name)
            self._calls.arguments(self._waiting[0])


def _object_in(text: str) -> str:
    """The text, which must be a JSON object itself."""
    try:
        said = json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        raise Broken from error
    if not isinstance(said, dict):
        raise Broken
    return text


def _no_json(constant: str) -> NoReturn:
    """NaN and the like, which Python reads."""
    raise ValueError(constant)


def _ignore(text: str) -> None:
    """Members without a meaning here."""
