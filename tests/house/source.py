"""The project's own Python files as text and syntax trees. Knows nothing about the rules they are held to."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("baton", "common", "router", "prefill_worker", "decode_worker", "kvtransfer", "loadtest")
GENERATED = "baton/v1/"

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file; `path` is relative to the project."""

    path: str
    text: str
    tree: ast.Module

    @staticmethod
    def of(path: str, text: str) -> "Source":
        return Source(path, text, ast.parse(text))

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def num_lines(self) -> int:
        return len(self.text.splitlines())


@cache
def sources(*roots: str) -> tuple[Source, ...]:
    """All hand-written files under these folders."""
    return tuple(_read(roots))


def product() -> tuple[Source, ...]:
    return sources(*PRODUCT)


def everything() -> tuple[Source, ...]:
    return sources(*PRODUCT, "tests", "deploy")


def _read(roots: tuple[str, ...]) -> Iterator[Source]:
    for root in roots:
        for file in sorted((ROOT / root).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            if not path.startswith(GENERATED) or path == GENERATED + "__init__.py":
                yield Source.of(path, file.read_text())


def imports(source: Source) -> Iterator[tuple[str, int]]:
    """Every module a file imports, inside functions too, and the line; `from a import b` yields both a and a.b."""
    for item in ast.walk(source.tree):
        if isinstance(item, ast.Import):
            yield from ((alias.name, item.lineno) for alias in item.names)
        elif isinstance(item, ast.ImportFrom):
            module = "." * item.level + (item.module or "")
            yield module, item.lineno
            yield from ((f"{module}.{alias.name}", item.lineno) for alias in item.names)


def dotted(expression: ast.expr) -> str:
    """The text of a.b.c, or an empty one for anything else."""
    if isinstance(expression, ast.Name):
        return expression.id
    if isinstance(expression, ast.Attribute):
        left = dotted(expression.value)
        return f"{left}.{expression.attr}" if left else ""
    return ""


def titles(source: Source) -> Iterator[tuple[str, int]]:
    """Names of the file's module, classes and functions."""
    yield source.module.rpartition(".")[2], 1
    yield from ((item.name, item.lineno) for item in ast.walk(source.tree) if isinstance(item, Definition))


def defined_names(source: Source) -> Iterator[tuple[str, int]]:
    """Every name the file gives to something: titles, arguments, variables, fields."""
    yield from titles(source)
    for item in ast.walk(source.tree):
        if isinstance(item, ast.arg):
            yield item.arg, item.lineno
        elif isinstance(item, (ast.Name, ast.Attribute)) and isinstance(item.ctx, ast.Store):
            yield (item.id if isinstance(item, ast.Name) else item.attr), item.lineno
