"""`[TOOL_CALLS]` and then `[{"name": "f", "arguments": {}}, ...]`, or `f[ARGS]{}`, perhaps `f[CALL_ID]x[ARGS]{}`."""

import re

from common.text.tools import json_steps
from common.text.tools.calls import Calls
from common.text.tools.grammar_steps import Broken, Steps, literal, run, spaces
from common.text.tools.object_call import object_call, object_calls

MAX_NAME_CHARS = 256
_NAME = re.compile(r"[^\s\[{]")
_ID = re.compile(r"[a-zA-Z0-9_-]")


def mistral_calls(calls: Calls) -> Steps[None]:
    """After the mark."""
    char = yield from spaces()
    if char == "[":
        if (yield from spaces()) != "{":
            raise Broken
        yield from object_calls(calls)
    elif char == "{":
        yield from object_call(calls)
    elif _NAME.fullmatch(char):
        yield from _named(calls, char)
    else:
        raise Broken


def _named(calls: Calls, first: str) -> Steps[None]:
    name, char = yield from run(_NAME, MAX_NAME_CHARS, first)
    if not calls.offers(name):
        raise Broken
    if char == "[":
        char = yield None
        if char == "C":
            yield from literal("ALL_ID]")
            _, char = yield from run(_ID, MAX_NAME_CHARS)
            if char != "[":
                raise Broken
            char = yield None
        if char != "A":
            raise Broken
        yield from literal("RGS]")
        char = yield from spaces()
    if char != "{":
        raise Broken
    calls.begin(name)
    yield from json_steps.members(calls.arguments)
    calls.end()
