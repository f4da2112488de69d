"""The ways models write tool calls, and which of them a chat template teaches. Knows nothing of reading them.

A template shows the model, and so us, what a call looks like: it renders earlier calls of the conversation.
"""

from enum import Enum


class ToolFormat(Enum):
    """One way to write calls; an example of each."""

    HERMES = "hermes"
    """`<tool_call>{"name": "f", "arguments": {}}</tool_call>`: Hermes, Qwen 2.5 and 3, and many that followed."""
    QWEN_XML = "qwen_xml"
    """`<tool_call><function=f><parameter=a>1</parameter></function></tool_call>`: Qwen3-Coder, Qwen 3.5 and later."""
    LLAMA = "llama"
    """`{"name": "f", "parameters": {}}`, perhaps after `<|python_tag|>`: Llama 3.1, 3.2 and 3.3."""
    LLAMA_LIST = "llama_list"
    """`[f(a=1), g(b="x")]`: Llama 3.2's small models, Llama 4."""
    MISTRAL = "mistral"
    """`[TOOL_CALLS] [{"name": "f", "arguments": {}}]`: Mistral until early 2025."""
    MISTRAL_ARGS = "mistral_args"
    """`[TOOL_CALLS]f[ARGS]{}`: Mistral since, Devstral and Ministral."""


_MARKERS: dict[ToolFormat, tuple[str, ...]] = {
    ToolFormat.HERMES: ("<tool_call>", "</tool_call>"),
    ToolFormat.QWEN_XML: ("<tool_call>", "</tool_call>"),
    ToolFormat.LLAMA: ("<|python_tag|>",),
    ToolFormat.LLAMA_LIST: ("<|python_tag|>", "<|python_start|>", "<|python_end|>"),
    ToolFormat.MISTRAL: ("[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"),
    ToolFormat.MISTRAL_ARGS: ("[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"),
}


def tool_format(template: str) -> ToolFormat | None:
    """From the template's source. None where it teaches no calls, or a format that is not read here."""
    if "<function=" in template and "<parameter=" in template:
        return ToolFormat.QWEN_XML
    if "<tool_call>" in template and "<arg_key>" not in template:
        return ToolFormat.HERMES
    if "[TOOL_CALLS]" in template:
        return ToolFormat.MISTRAL_ARGS if "[ARGS]" in template else ToolFormat.MISTRAL
    if "[func_name1(" in template or "<|python_start|>" in template:
        return ToolFormat.LLAMA_LIST
    if "<|start_header_id|>" in template and '"parameters"' in template.replace('\\"', '"'):
        return ToolFormat.LLAMA
    return None


def tool_markers(format: ToolFormat) -> tuple[str, ...]:
    """Texts around calls. Where a tokenizer has one as a special token, it must stay in the text that is read."""
    return _MARKERS[format]


def teaches_short_ids(template: str) -> bool:
    """Whether the template takes only ids of nine letters and digits, as Mistral's do."""
    return "[TOOL_CALLS]" in template
