"""Tool calls forced by grammar: which calls an answer must or may hold, as a Constraint in Lark's syntax.

Every argument object follows its function's JSON schema exactly. Reasoning may come first. Where a call is only
possible, the grammar leaves all text alone until a call begins.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.text.dates import with_real_dates
from common.text.grammar import OWN_OPTIONS
from common.text.reasoning import ReasoningFormat
from common.text.schema import check_schema
from common.text.tools.formats import ToolFormat
from common.types.constraint import Constraint, ConstraintKind
from common.types.errors import InvalidRequest, Violation, invalid
from common.types.tools import Choose, Tool, ToolChoice

NO_ARGUMENTS: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
ANY_ARGUMENTS: Mapping[str, Any] = {"type": "object"}
FREE_TEXT = "/(?s:.*)/"
SPACES = "/\\s{0,4}/"


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a format writes calls: around all of them, between two, around one; and how free text is told from one."""

    opening: str
    before_name: str
    before_arguments: str
    after: str
    between: str = ""
    closing: str = ""
    repeats: bool = True


_TAGGED = _Shape("", '<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>", between="\n")
_LLAMA = _Shape("", '{"name": "', '", "parameters": ', "}", repeats=False)
_SHAPES: Mapping[ToolFormat, _Shape] = {
    ToolFormat.HERMES: _TAGGED,
    ToolFormat.QWEN_XML: _TAGGED,
    ToolFormat.LLAMA: _LLAMA,
    ToolFormat.LLAMA_LIST: _LLAMA,
    ToolFormat.MISTRAL: _Shape("[TOOL_CALLS] [", '{"name": "', '", "arguments": ', "}", between=", ", closing="]"),
    ToolFormat.MISTRAL_ARGS: _Shape("", "[TOOL_CALLS]", "[ARGS]", ""),
}


def tool_constraint(
    format: ToolFormat,
    tools: Sequence[Tool],
    choice: ToolChoice,
    parallel: bool = True,
    *,
    mark_ids: Mapping[str, int] | None = None,
    reasoning: ReasoningFormat | None = None,
    inside_reasoning: bool = False,
    answer: Mapping[str, Any] | None = None,
) -> Constraint | None:
    """None where an answer may be anything. Raises InvalidRequest, which names the tool, for a schema that is wrong.

    With AUTO there is a grammar only where the answer needs one: a strict tool, or not more than one call, or a schema
    for an `answer` that calls nothing.
    `mark_ids`: a mark that the tokenizer has as a token of its own is written as that token alone.
    """
    if choice.choose is Choose.NONE or not tools:
        return None
    if choice.choose is Choose.AUTO and parallel and answer is None and not any(tool.strict for tool in tools):
        return None
    forced = choice.choose is not Choose.AUTO
    if choice.choose is Choose.NAMED:
        tools = [tool for tool in tools if tool.name == choice.name]
        if not tools:
            raise invalid("tool_choice", "names no function that is among the tools")
    _check(tools)
    grammar = _Grammar(_SHAPES[format], mark_ids or {})
    for tool in tools:
        grammar.call(tool, exact=forced or tool.strict)
    several = parallel and choice.choose is not Choose.NAMED
    return Constraint(ConstraintKind.GRAMMAR, grammar.text(forced, several, reasoning, inside_reasoning, answer))


def _check(tools: Sequence[Tool]) -> None:
    wrong: list[Violation] = []
    for place, tool in enumerate(tools):
        field = f"tools[{place}].function.parameters"
        said = tool.parameters
        if said is None:
            continue
        if said.get("type", "object") != "object":
            wrong.append(Violation(field, "must be the schema of an object"))
        try:
            check_schema(dict(said))
        except InvalidRequest as error:
            wrong += [Violation(field, violation.description) for violation in error.violations]
    if wrong:
        raise InvalidRequest(*wrong)


class _Grammar:
    """Lark rules, one for each tool."""

    def __init__(self, shape: _Shape, mark_ids: Mapping[str, int]) -> None:
        self._shape, self._mark_ids = shape, mark_ids
        self._rules: list[str] = []
        self._names: list[str] = []

    def call(self, tool: Tool, exact: bool) -> None:
        schema = (tool.parameters if tool.parameters is not None else NO_ARGUMENTS) if exact else ANY_ARGUMENTS
        shape, name = self._shape, f"call_{len(self._names)}"
        self._names.append(name)
        start = self.quoted(shape.before_name + tool.name + shape.before_arguments)
        end = self.quoted(shape.after)
        self._rules.append(f"{name}: {start} {name}_arguments {end}\n{name}_arguments: %json {_schema(schema)}")

    def text(
        self,
        forced: bool,
        several: bool,
        reasoning: ReasoningFormat | None,
        inside: bool,
        schema: Mapping[str, Any] | None,
    ) -> str:
        shape = self._shape
        opening, closing = self.quoted(shape.opening), self.quoted(shape.closing)
        more = f" ({self.quoted(shape.between)} call)*" if several and shape.repeats else ""
        calls = f"calls: {opening} call{more} {closing}"
        rules = [calls, f"call: {' | '.join(self._names)}", *self._rules]
        if schema is not None and not forced:
            rules.append(f"json: %json {_with_options(schema)}")
            answer = "json | calls"
        else:
            answer = "calls" if forced else self._perhaps(rules)
        return "\n".join([f"start: {self._reasoned(answer, reasoning, inside, rules)}", *rules])

    def _perhaps(self, rules: list[str]) -> str:
        """Free text, and then perhaps calls. Nothing begins like a call that is none."""
        first = self._first_mark()
        if first == "{":
            rules.append("free: /[^{\\s](?s:.*)/")
            return "(free | calls)?"
        rules.append(f"FREE: {FREE_TEXT} & ~/(?s:.*){_escaped(first)}(?s:.*)/")
        return "FREE calls?"

    def _first_mark(self) -> str:
        whole = self._shape.opening + self._shape.before_name
        for mark in ("<tool_call>", "[TOOL_CALLS]"):
            if whole.startswith(mark):
                return mark
        return whole[0]

    def _reasoned(self, answer: str, reasoning: ReasoningFormat | None, inside: bool, rules: list[str]) -> str:
        if reasoning is None:
            return answer
        if reasoning.closing in self._mark_ids:
            rules.append(f"reasoned: {FREE_TEXT} {self.quoted(reasoning.closing)} {SPACES}")
        else:
            rules.append(f"reasoned: thought {SPACES}\nthought[lazy]: {FREE_TEXT} {json.dumps(reasoning.closing)}")
        return f"reasoned ({answer})" if inside else f"({self.quoted(reasoning.opening)} reasoned)? ({answer})"

    def quoted(self, text: str) -> str:
        """The text as Lark writes it, marks that are special tokens by their ids."""
        for mark, token_id in self._mark_ids.items():
            before, found, after = text.partition(mark)
            if found:
                return " ".join(filter(None, (self.quoted(before), f"<[{token_id}]>", self.quoted(after))))
        return f'"{_plain(json.dumps(text)[1:-1])}"' if text else ""


def _schema(schema: Mapping[str, Any]) -> str:
    return _with_options({"type": "object", **schema})


def _with_options(schema: Mapping[str, Any]) -> str:
    """With bounds on white space and the calendar's dates, as for answers that are JSON."""
    written = _plain(json.dumps(with_real_dates(dict(schema))))
    return f"{written[:-1]}{', ' if schema else ''}{OWN_OPTIONS}}}"


def _plain(text: str) -> str:
    """JSON that cannot be taken for an option of the grammar's compiler."""
    return text.replace("=", "\\u003d").replace("x-guidance", "x\\u002dguidance")


def _escaped(text: str) -> str:
    return "".join(f"\\x{{{ord(char):X}}}" for char in text)
