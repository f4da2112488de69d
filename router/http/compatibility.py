"""The compatibility table in docs/openai.md, made from the models that read the bodies. `python -m` writes it."""

import re
from collections.abc import Iterator
from pathlib import Path

from router.http.schema.chat import ChatBody
from router.http.schema.completion import CompletionBody
from router.http.schema.strict import Strict
from router.http.schema.tokens import DetokenizeBody, TokenizeBody

BODIES: tuple[tuple[str, type[Strict]], ...] = (
    ("/v1/chat/completions", ChatBody),
    ("/v1/completions", CompletionBody),
    ("/tokenize", TokenizeBody),
    ("/detokenize", DetokenizeBody),
)
BEGIN, END = "<!-- made by `python -m router.http.compatibility FILE`: -->", "<!-- until here -->"


def table() -> str:
    """Every parameter of every body: what it does, or why it is refused."""
    return "\n".join(line for path, body in BODIES for line in _lines(path, body))


def _lines(path: str, body: type[Strict]) -> Iterator[str]:
    yield from (f"### {path}", "", "| parameter | |", "|---|---|")
    for name, field in sorted(body.model_fields.items()):
        yield f"| `{field.alias or name}` | {field.description or ''} |"
    for name, reason in sorted(body.refused.items()):
        yield f"| `{name}` | *refused*: {reason} |"
    yield ""


def renewed(document: str) -> str:
    """The document with the table of now."""
    made = f"{BEGIN}\n\n{table()}\n{END}"
    return re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: made, document, flags=re.DOTALL)


def main(path: str) -> None:
    file = Path(path)
    file.write_text(renewed(file.read_text()))


if __name__ == "__main__":
    import sys

    main(sys.argv[1])
