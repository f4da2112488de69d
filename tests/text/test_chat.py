"""Chats rendered as transformers renders them, refused with the field's name, and never without end."""

import contextlib
import json
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.chat import ChatLimits, ChatTemplate
from common.types.errors import InvalidRequest, ModelError
from tests.text.folders import build, transformers

CHATML = """
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\n' + message.content | trim + '<|im_end|>\n' }}
{%- endfor %}
{% if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{% endif %}
"""
LLAMA2 = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}
{% set system = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system = false %}{% endif %}
{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Roles must alternate user/assistant') }}{% endif %}
{% if message['role'] == 'user' %}{{ '[INST] ' ~ (system or '') ~ message['content'] ~ ' [/INST]' }}
{% else %}{{ message['content'] ~ eos_token }}{% endif %}{% endfor %}"""
FANCY = """{%- macro turn(role, text, last=false) -%}<{{ role }}>{{ text | tojson }}{{ '!' if last }}{%- endmacro -%}
{%- set ns = namespace(n=0, seen=dict(a=1)) -%}
{%- for m in messages -%}
  {%- if m.role == 'skip' -%}{%- continue -%}{%- endif -%}
  {%- if m.role == 'stop' -%}{%- break -%}{%- endif -%}
  {%- set ns.n = ns.n + 1 -%}
  {%- generation -%}{%- set x = 3 -%}{{ turn(m.role, m.content, loop.last) }}{%- endgeneration -%}
{%- endfor -%}
{{ ns.n * 2 }}{{ '=' * 3 }}{{ 2 ** 5 }}{{ ns.seen.a }}{{ tools is none }}{{ documents is none }}{{ undefined_name }}
{{ x }}
{{- {'k': ['é', 1.5, none]} | tojson(indent=1) }}{% if strftime_now is defined %}{{ strftime_now('%%') }}{% endif %}
{% if pad_token is defined %}{{ pad_token }}{% endif %}"""
TEMPLATES = {"chatml": CHATML, "llama2": LLAMA2, "fancy": FANCY}
CHATS = [
    [("user", "hello")],
    [("system", "be brief"), ("user", " hi\n"), ("assistant", "yes <b>"), ("user", '"quoted" 你好 😀')],
    [("user", "a"), ("skip", "b"), ("user", "c"), ("stop", "d"), ("user", "e")],
]


@pytest.fixture(scope="module", params=TEMPLATES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ChatTemplate]:
    folder = build("llama3", tmp_path_factory.mktemp("chat"))
    (folder / "chat_template.jinja").write_text(TEMPLATES[request.param])
    other = transformers().AutoTokenizer.from_pretrained(folder)
    own = ChatTemplate.load(folder, other.special_tokens_map)
    assert own is not None
    return other, own


def turns_of(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def same(other: Any, own: ChatTemplate, chat: list[tuple[str, str]], prompt: bool) -> None:
    messages = turns_of(*chat)
    try:
        expected = other.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    except (jinja2.TemplateError, TypeError):
        with pytest.raises(InvalidRequest):
            own.render(messages, prompt)
    else:
        assert own.render(messages, prompt) == expected


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("prompt", [True, False])
def test_known_chats_render_as_transformers_does(
    made: tuple[Any, ChatTemplate], chat: list[tuple[str, str]], prompt: bool
) -> None:
    same(*made, chat, prompt)


turns = st.tuples(st.sampled_from(["user", "assistant", "system", "skip"]), st.text(max_size=10))


@settings(max_examples=40)
@given(chat=st.lists(turns, min_size=1, max_size=5))
def test_any_chat_renders_as_transformers_does(made: tuple[Any, ChatTemplate], chat: list[tuple[str, str]]) -> None:
    same(*made, chat, True)


@pytest.mark.parametrize(
    "said",
    [
        "{{ messages[0].content }}",
        [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "{{ messages[0].content }}"}],
    ],
)
def test_the_template_may_stand_in_the_config(tmp_path: Path, said: Any) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": said}))
    own = ChatTemplate.load(tmp_path, {})
    assert own is not None
    assert own.render(turns_of(("user", "hello"))) == "hello"


def test_a_folder_may_have_no_template(tmp_path: Path) -> None:
    assert ChatTemplate.load(tmp_path, {}) is None
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": {"other": "x"}}')
    assert ChatTemplate.load(tmp_path, {}) is None


def test_a_template_that_does_not_compile_is_a_model_error() -> None:
    with pytest.raises(ModelError):
        ChatTemplate("{% for %}", {})


def test_the_template_s_own_refusal_is_told() -> None:
    own = ChatTemplate(LLAMA2, {"bos_token": "<s>", "eos_token": "</s>"})
    with pytest.raises(InvalidRequest, match=r"chat\.messages: .*Roles must alternate"):
        own.render(turns_of(("assistant", "hello")))


def test_a_refusal_is_short_and_printable() -> None:
    own = ChatTemplate("{{ raise_exception('a\n\x1b[0m' ~ 'b' * 1000) }}", {})
    with pytest.raises(InvalidRequest) as caught:
        own.render(turns_of(("user", "x")))
    assert caught.value.violations[0].description.isprintable()
    assert len(caught.value.violations[0].description) < 300


@pytest.mark.parametrize("chat", [[], [("user", "x")] * 5, [("", "x")]])
def test_bounds_on_messages(chat: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequest, match=r"chat\.messages"):
        ChatTemplate(CHATML, {}, ChatLimits(max_messages=4)).render(turns_of(*chat))


ENDLESS = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "{% for a in messages * 100000 %}{{ messages[0].content }}{% endfor %}",
    "{{ 'a' * 100000000000 }}",
    "{{ [1] * 100000000000 }}",
    "{{ 9 ** 99999999 }}",
    "{{ messages[0].content }}",
]


@pytest.mark.parametrize("source", ENDLESS)
def test_nothing_goes_on_for_ever(source: str) -> None:
    own = ChatTemplate(source, {}, ChatLimits(max_chars=2000, max_seconds=0.05))
    with pytest.raises(InvalidRequest, match=r"chat\.messages"):
        own.render(turns_of(("user", "x" * 3000)))


ESCAPES = [
    "{{ ''.__class__.__mro__ }}",
    "{{ messages.append(1) }}",
    "{{ dict.__class__ }}",
    "{{ namespace(__init__=1) }}",
    "{{ raise_exception.__globals__ }}",
    "{{ (1).__class__.__subclasses__() }}",
    "{% include 'x' %}",
    "{% set n = namespace() %}{% set n.__class__ = 1 %}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_the_sandbox_holds(source: str) -> None:
    out = ""
    with contextlib.suppress(InvalidRequest):
        out = ChatTemplate(source, {}).render(turns_of(("user", "x")))
    assert out == ""
