"""One call between `<tool_call>` and `</tool_call>`: a JSON object, or Qwen's XML. A model may write either."""

from common.text.tools.calls import Calls
from common.text.tools.grammar_steps import Broken, Steps, literal, spaces
from common.text.tools.object_call import object_call
from common.text.tools.qwen_xml import xml_call


def tagged_call(calls: Calls) -> Steps[None]:
    """After the opening mark."""
    match (yield from spaces()):
        case "{":
            yield from object_call(calls)
        case "<":
            yield from xml_call(calls)
        case _:
            raise Broken
    if (yield from spaces()) != "<":
        raise Broken
    yield from literal("/tool_call>")
