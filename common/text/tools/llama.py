"""`{"name": "f", "parameters": {}}`, several with `;` between them or in an array, or `[f(a=1), g(b="x")]`.

Nothing marks such a call but that the answer begins with it, or a `<|python_tag|>` before it. So only members of a call
and functions that were offered count: any other JSON is the answer itself.
"""

from common.text.tools.calls import Calls
from common.text.tools.grammar_steps import Broken, Steps, literal, spaces
from common.text.tools.object_call import KNOWN, object_call, object_calls
from common.text.tools.python_steps import python_calls


def llama_answer(calls: Calls) -> Steps[None]:
    """At the very beginning of an answer."""
    char = yield from spaces()
    if char == "<":
        yield from literal("|python_")
        match (yield None):
            case "t":
                yield from literal("ag|>")
            case "s":
                yield from literal("tart|>")
            case _:
                raise Broken
        char = yield from spaces()
    yield from _calls(calls, char)


def llama_marked(calls: Calls) -> Steps[None]:
    """After a mark."""
    yield from _calls(calls, (yield from spaces()))


def _calls(calls: Calls, char: str) -> Steps[None]:
    if char == "[":
        char = yield from spaces()
        if char == "{":
            yield from object_calls(calls, KNOWN)
        else:
            yield from python_calls(calls, char)
        calls.settle()
        if (yield from spaces()) != "<":
            raise Broken
        yield from literal("|python_end|>")
        return
    while True:
        if char != "{":
            raise Broken
        yield from object_call(calls, KNOWN)
        char = yield from spaces()
        if char in ";,":
            char = yield from spaces()
