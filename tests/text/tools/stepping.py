"""Drives one parser by hand: what it echoed, how much it took, and how it ended."""

from collections.abc import Callable, Iterable
from typing import Any

from common.text.tools.grammar_steps import Broken, Echo, Steps


def steps(make: Callable[[Echo], Steps[Any]], pieces: Iterable[str]) -> tuple[str, str, str]:
    """`done`, `broken` or `open`, what was echoed, and the text that was not taken. Runs end at the pieces' borders."""
    echoed: list[str] = []
    parser = make(echoed.append)
    left = list(pieces)
    try:
        want = next(parser)
        while left:
            text = left.pop(0)
            at = 0
            while at < len(text):
                found = want.match(text, at) if want is not None else None
                until = found.end() if found else at + 1
                try:
                    want = parser.send(text[at:until])
                except StopIteration:
                    return "done", "".join(echoed), text[until:] + "".join(left)
                except Broken:
                    return "broken", "".join(echoed), text[at:] + "".join(left)
                at = until
    except StopIteration:
        return "done", "".join(echoed), "".join(left)
    return "open", "".join(echoed), ""
