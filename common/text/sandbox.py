"""The Jinja environment chat templates run in: what templates written for transformers expect, and bounds on all loops.

Every loop and macro calls `tick`, which the renderer gives and which raises when time is over; products and powers,
the ways to make much out of little, are bounded in size.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

TICK = "baton_tick"
MAX_REPEATED = 1 << 20
MAX_BITS = 4096
MAX_REASON = 160


class Refused(jinja2.TemplateError):
    """The template called raise_exception: its author's words to whoever wrote the messages."""

    def __init__(self, reason: object) -> None:
        printable = "".join(character if character.isprintable() else " " for character in str(reason))
        self.reason = printable[:MAX_REASON]
        super().__init__(self.reason)


class TooLong(jinja2.TemplateError):
    """Rendering took more time or room than it may."""


class Sandbox(ImmutableSandboxedEnvironment):
    """One per template. Undefined names are empty, as in transformers."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols])
        self.filters["tojson"] = _to_json
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now
        self.globals["dict"] = _Dict()
        self.globals["namespace"] = _Namespace

    def bounded_template(self, source: str) -> jinja2.Template:
        """Compiles with a call of `tick` at the head of every loop's and macro's body."""
        tree = self.parse(source)
        parts: list[nodes.For | nodes.Macro | nodes.CallBlock] = [
            *tree.find_all(nodes.For),
            *tree.find_all(nodes.Macro),
            *tree.find_all(nodes.CallBlock),
        ]
        for part in parts:
            call = nodes.Call(nodes.Name(TICK, "load"), [], [], None, None)
            part.body.insert(0, nodes.ExprStmt(call).set_lineno(part.lineno))
        return self.from_string(tree)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Bounds repeated texts and lists, and the growth of whole numbers."""
        if operator == "**" and _bits(left) * abs(right) > MAX_BITS:
            raise TooLong
        if operator == "*" and (_times(left, right) or _times(right, left) or _bits(left) + _bits(right) > MAX_BITS):
            raise TooLong
        return super().call_binop(context, operator, left, right)


def _bits(value: object) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _times(count: object, what: object) -> bool:
    """Whether repeating it so often makes too much."""
    return isinstance(count, int) and isinstance(what, str | list | tuple) and count * len(what) > MAX_REPEATED


class GenerationTag(Extension):
    """`{% generation %}` marks the assistant's words for training; here it only gives back what it holds."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller: Callable[[], str]) -> str:
        return caller()


class _Dict:
    """`dict(...)` without the type itself, whose attributes lead out of the sandbox."""

    def __call__(self, *args: Any, **entries: Any) -> dict[Any, Any]:
        return dict(*args, **entries)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """`namespace(...)`, whose names may not begin with an underscore."""

    def __init__(*args: Any, **entries: Any) -> None:
        own, *given = args
        attributes = dict(*given, **entries)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(own, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError("names that begin with an underscore are not for templates")


def _raise_exception(reason: object) -> NoReturn:
    raise Refused(reason)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Unlike Jinja's own, it escapes nothing for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)
