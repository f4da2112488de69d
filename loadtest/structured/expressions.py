"""Random regular expressions, and now and then one that no automaton can follow. A seed is an expression.

What repeats without end never stands inside another repetition: Python's own matcher, which judges, would not come
back from such a one.
"""

import random

DEPTH = 3
ATOMS = (
    r"\d",
    r"\w",
    r"\s",
    ".",
    "[a-f]",
    "[^a-z]",
    r"[\d_]",
    "é",
    "零",
    "x",
    " ",
    r"\.",
    r"\-",
    "[A-Z0-9]",
    r"\\",
    "/",
    '"',
)
WORDS = ("foo", "bar", "GET ", "https?", "über", "a b", r"\[x\]", "end")
UNENFORCEABLE = (
    r"(a)\1",
    r"(?=a)b",
    r"(?<!a)b",
    r"\bword\b",
    "a^b",
    "a$b",
    "[z-a]",
    "(",
    "*a",
    "a{3,2}",
    "[",
    "a{1000}{1000}",
)


def random_expression(seed: int) -> str:
    """One in eight cannot be enforced, or is none."""
    pick = random.Random(seed)
    if pick.random() < 1 / 8:
        return pick.choice(UNENFORCEABLE) + _expression(pick, 1, inside=True)
    text = _expression(pick, DEPTH, inside=False)
    return f"^{text}$" if pick.random() < 0.1 and "|" not in text else text


def _expression(pick: random.Random, depth: int, *, inside: bool) -> str:
    kind = pick.random()
    if depth == 0 or kind < 0.3:
        return pick.choice(ATOMS) if pick.random() < 0.6 else pick.choice(WORDS)
    if kind < 0.6:
        return "".join(_expression(pick, depth - 1, inside=inside) for _ in range(pick.randint(2, 4)))
    if kind < 0.75:
        options = [_expression(pick, depth - 1, inside=inside) for _ in range(pick.randint(2, 3))]
        return f"(?:{'|'.join(options)})"
    bounded = inside or pick.random() < 0.6
    inner = _expression(pick, depth - 1, inside=True)
    if not bounded:
        return f"(?:{inner}){pick.choice(('*', '+'))}"
    low = pick.randint(0, 3)
    return f"(?:{inner}){pick.choice(('?', f'{{{low}}}', f'{{{low},{low + pick.randint(0, 6)}}}'))}"
