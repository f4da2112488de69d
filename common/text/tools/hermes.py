"""`<tool_call>{"name": "f", "arguments": {}}</tool_call>`, one call in each pair of marks."""

from common.text.tools.calls import Calls
from common.text.tools.grammar_steps import Broken, Steps, literal, spaces
from common.text.tools.object_call import object_call


def hermes_call(calls: Calls) -> Steps[None]:
    """After the opening mark."""
    if (yield from spaces()) != "{":
        raise Broken
    yield from object_call(calls)
    if (yield from spaces()) != "<":
        raise Broken
    yield from literal("/tool_call>")
