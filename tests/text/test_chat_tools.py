"""Chats with tools, rendered as transformers renders them, by templates with the ways of the common families."""

import json
from pathlib import Path
from typing import Any

import pytest

from common.text.chat import ChatTemplate
from common.types.errors import InvalidRequest
from tests.text.folders import build, transformers

LLAMA = """{{ bos_token }}{%- if date is not defined -%}{%- set date = strftime_now("%Y") -%}{%- endif -%}
{%- set first = messages[0].content | trim if messages[0].role == 'system' else date -%}{{ first }}
{%- for tool in tools or [] -%}{{ tool | tojson(indent=4) }}{%- endfor -%}
{%- for m in messages -%}
  {%- if 'tool_calls' in m -%}
    {%- if m.tool_calls | length > 1 -%}{{ raise_exception("one call at a time") }}{%- endif -%}
    {{ '{"name": "' ~ m.tool_calls[0].function.name ~ '", "parameters": ' }}
    {{- m.tool_calls[0].function.arguments | tojson }}}
  {%- elif m.role in ['tool', 'ipython'] -%}
    {{ m.content | tojson if m.content is mapping or m.content is iterable else m.content }}
  {%- else -%}<{{ m.role }}>{{ m['content'] | trim }}{%- endif -%}
{%- endfor -%}{%- if builtin_tools is defined or tools is not none -%}!{%- endif -%}"""
QWEN = """{%- if tools -%}<tools>{%- for tool in tools %}
{{ tool | tojson }}{%- endfor -%}</tools>{%- endif -%}
{%- set seen = namespace(last=messages | length - 1, found=false) -%}
{%- for m in messages[::-1] -%}
  {%- if not seen.found and m.role == 'user' and not m.content.startswith('<tool_response>') -%}
    {%- set seen.found = true -%}{%- set seen.last = (messages | length) - loop.index -%}
  {%- endif -%}
{%- endfor -%}
{%- for m in messages -%}
  {%- if m.role == 'tool' -%}
    {{ '<again>' if not loop.first and loop.previtem.role == 'tool' }}<tool_response>{{ m.content }}
  {%- elif m.role == 'assistant' -%}
    {%- set said = m.content -%}
    {%- if '</think>' in said -%}{%- set said = said.split('</think>')[-1].lstrip('\\n') -%}{%- endif -%}
    {%- if loop.index0 > seen.last and m.reasoning_content is string -%}
      <think>{{ m.reasoning_content.strip('\\n') }}</think>
    {%- endif -%}{{ said }}
    {%- for call in m.tool_calls -%}
      {%- set called = call.function or call -%}<tool_call>{{ called.name }}
      {{- called.arguments if called.arguments is string else called.arguments | tojson }}</tool_call>
    {%- endfor -%}
  {%- else -%}<{{ m.role }}>{{ m.content }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}
{{- '<think>\\n\\n</think>\\n\\n' if enable_thinking is false else '<go>' }}{%- endif -%}"""
MISTRAL = """{{ bos_token }}{%- set asked = messages | selectattr('role', 'equalto', 'user') | list -%}
{%- for m in messages | rejectattr('role', 'equalto', 'tool') | selectattr('tool_calls', 'undefined') -%}
  {%- if (loop.index0 % 2 == 0) != (m.role == 'user') -%}{{ raise_exception('turns must alternate') }}{%- endif -%}
{%- endfor -%}
{%- for m in messages -%}
  {%- if m.role == 'user' -%}
    {%- if tools is not none and m == asked[-1] -%}[AVAILABLE_TOOLS]
      {%- for tool in tools -%}{%- for key, value in tool.function.items() if key != 'return' -%}
        {{ key }}: {{ value if value is string else value | tojson }}{{ ', ' if not loop.last }}
      {%- endfor -%}{%- endfor -%}
    {%- endif -%}[INST]{{ m.content }}[/INST]
  {%- elif m.tool_calls is defined -%}[TOOL_CALLS]
    {%- for call in m.tool_calls -%}
      {%- if call.id is not defined or call.id | length != 9 -%}{{ raise_exception('ids are short') }}{%- endif -%}
      {{ (call.function | tojson)[:-1] ~ ', "id": "' ~ call.id ~ '"}' }}
    {%- endfor -%}{{ eos_token }}
  {%- elif m.role == 'tool' -%}{"content": {{ m.content | string }}, "call_id": "{{ m.tool_call_id }}"}
  {%- else -%}{{ m.content + eos_token }}{%- endif -%}
{%- endfor -%}"""
HERMES = """{%- for m in messages -%}
  {%- if m.role == 'tool' -%}
    {%- if m.name is not defined -%}{{ raise_exception('who answers?') }}{%- endif -%}
    {{ {'name': m.name, 'content': m.content} | tojson }}
  {%- else -%}{{ m.role }}{{ m.content }}{%- endif -%}
{%- endfor -%}"""
WRITTEN = """{%- for m in messages -%}
  {%- for call in m.tool_calls -%}{{ 'args: ' + call['function']['arguments'] }}{%- endfor -%}{{ m.content }}
{%- endfor -%}"""
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "It's <how> warm? é",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def call(**arguments: Any) -> dict[str, Any]:
    return {"id": "abcdef123", "type": "function", "function": {"name": "weather", "arguments": arguments}}


ASKED: list[dict[str, Any]] = [{"role": "user", "content": "How warm is it in Oslo?"}]
CALLED = [*ASKED, {"role": "assistant", "content": None, "tool_calls": [call(city="Oslo", n=[1.5, None, "ø\n"])]}]
ANSWERED = [*CALLED, {"role": "tool", "content": '{"warm": true}', "tool_call_id": "abcdef123"}]
TOLD = [*ANSWERED, {"role": "assistant", "content": "It is.", "reasoning_content": "\nhm\n"}]
CHATS = {"asked": ASKED, "answered": ANSWERED, "told": [*TOLD, {"role": "user", "content": "Thanks!"}]}
FAMILIES = {"llama": LLAMA, "mistral": MISTRAL, "qwen": QWEN}


def both(folder: Path) -> tuple[Any, ChatTemplate]:
    other = transformers().AutoTokenizer.from_pretrained(folder)
    own = ChatTemplate.load(folder, other.special_tokens_map)
    assert own is not None
    return other, own


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ChatTemplate]:
    folder = build("llama3", tmp_path_factory.mktemp("chat"))
    (folder / "chat_template.jinja").write_text(FAMILIES[request.param])
    return both(folder)


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("tools", [TOOLS, []])
def test_tools_and_calls_render_as_transformers_does(
    family: tuple[Any, ChatTemplate], chat: str, tools: list[dict[str, Any]]
) -> None:
    other, own = family
    messages = [{"content": "", **message} | ({"content": message["content"] or ""}) for message in CHATS[chat]]
    expected = other.apply_chat_template(messages, tools or None, tokenize=False, add_generation_prompt=True)
    assert own.render(messages, tools=tools) == expected


def test_variables_reach_the_template(tmp_path: Path) -> None:
    folder = build("llama3", tmp_path / "qwen")
    (folder / "chat_template.jinja").write_text(QWEN)
    other, own = both(folder)
    expected = other.apply_chat_template(ASKED, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    assert own.render(ASKED, variables={"enable_thinking": False}) == expected
    assert expected.endswith("</think>\n\n")


def test_the_template_for_tools_is_taken_where_there_is_one(tmp_path: Path) -> None:
    named = {"default": "plain", "tool_use": "{% for tool in tools %}{{ tool.function.name }}{% endfor %}"}
    listed = [{"name": name, "template": template} for name, template in named.items()]
    for place, said in enumerate((named, listed)):
        folder = tmp_path / str(place)
        folder.mkdir()
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": said}))
        own = ChatTemplate.load(folder, {})
        assert own is not None
        assert own.takes_tools
        assert (own.render(ASKED), own.render(ASKED, tools=TOOLS)) == ("plain", "weather")


def test_a_file_for_tools_stands_beside_the_template(tmp_path: Path) -> None:
    folder = build("llama3", tmp_path / "two")
    (folder / "chat_template.jinja").write_text("plain")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools | length }}")
    other, own = both(folder)
    for tools in (TOOLS, []):
        assert own.render(ASKED, tools=tools) == other.apply_chat_template(ASKED, tools or None, tokenize=False)


def test_a_turn_without_content_is_rendered_somehow() -> None:
    own = ChatTemplate(QWEN, {"bos_token": ""})
    assert '<tool_call>weather{"city": "Oslo"' in own.render(ANSWERED)


def test_a_tool_s_answer_is_given_its_name_where_the_template_wants_it() -> None:
    assert '{"name": "weather", "content": ' in ChatTemplate(HERMES, {}).render(ANSWERED)


def test_arguments_are_written_where_the_template_wants_text() -> None:
    assert 'args: {"city": "Oslo"' in ChatTemplate(WRITTEN, {}).render(ANSWERED)


def test_a_refusal_stays_a_refusal() -> None:
    own = ChatTemplate(LLAMA, {"bos_token": ""})
    two = [*ASKED, {"role": "assistant", "content": None, "tool_calls": [call(), call()]}]
    with pytest.raises(InvalidRequest, match="one call at a time"):
        own.render(two)
