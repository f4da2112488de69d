"""The format a template teaches, told from what it writes around earlier calls."""

import pytest

from common.text.reasoning import reasoning_format
from common.text.tools.formats import ToolFormat, teaches_short_ids, tool_format, tool_markers

SOURCES: list[tuple[ToolFormat | None, str]] = [
    (ToolFormat.HERMES, '{{- \'<tool_call>\\n{"name": "\' + c.name + \'", "arguments": \' + c.arguments | tojson }}'),
    (ToolFormat.QWEN_XML, "{{- '\\n<tool_call>\\n<function=' + c.name + '>\\n<parameter=' + key + '>\\n' }}"),
    (ToolFormat.LLAMA, "{{- '<|start_header_id|>' }}{{- '{\"name\": \"' + c.name + '\", ' + '\"parameters\": ' }}"),
    (ToolFormat.LLAMA, '{{- "<|start_header_id|>" }}{{- "{\\"name\\": function name, \\"parameters\\": ...}" }}'),
    (ToolFormat.LLAMA_LIST, "<|start_header_id|>{{ 'in the format [func_name1(params_name1=params_value1...)]' }}"),
    (ToolFormat.LLAMA_LIST, "{{- '<|python_start|>' }}"),
    (ToolFormat.MISTRAL, '{{- "[TOOL_CALLS] [" }}{{ c.function | tojson }}'),
    (ToolFormat.MISTRAL_ARGS, "{{- '[TOOL_CALLS]' + c.function.name + '[ARGS]' + arguments }}"),
    (None, "{{- '<|im_start|>' + message.role }}"),
    (None, "{{- '<tool_call>' + c.name + '<arg_key>' + key }}"),
]


@pytest.mark.parametrize(("format", "source"), SOURCES)
def test_the_format_of_a_template(format: ToolFormat | None, source: str) -> None:
    assert tool_format(source) is format


def test_every_format_has_marks() -> None:
    assert all(tool_markers(format) for format in ToolFormat)


def test_only_mistral_takes_short_ids() -> None:
    assert [format for format, source in SOURCES if teaches_short_ids(source)] == [
        ToolFormat.MISTRAL,
        ToolFormat.MISTRAL_ARGS,
    ]


def test_the_reasoning_of_a_template() -> None:
    think = reasoning_format("{%- set content = content.split('</think>')[-1] %}")
    assert think is not None
    assert (think.opening, think.closing) == ("<think>", "</think>")
    magistral = reasoning_format("{{ '[THINK]' + text + '[/THINK]' }}")
    assert magistral is not None
    assert magistral.opening == "[THINK]"
    assert reasoning_format("{{ message.content }}") is None


@pytest.mark.parametrize(
    ("prompt", "is_open"), [("...<think>\n", True), ("<think>", True), ("<think>\n\n</think>\n\n", False), ("", False)]
)
def test_a_prompt_may_end_within_reasoning(prompt: str, is_open: bool) -> None:
    think = reasoning_format("</think>")
    assert think is not None
    assert think.is_open(prompt) is is_open
