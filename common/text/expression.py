"""What regular expressions mean differently in Rust's dialect, which is enforced, and in those that people know.

Python, JavaScript and Java agree on none of these, or read them otherwise: whoever wrote one would get something
else than was meant, so they are refused. Knows nothing of what else an expression may hold.
"""

import re

_REPEAT = re.compile(r"[*+?]|\{\d+(?:,\d*)?\}")
_SET_OPERATORS = ("&&", "--", "~~")


def ambiguity(expression: str) -> str | None:
    """Why it is ambiguous, if it is."""
    place, class_from, repeated = 0, 0, False
    while place < len(expression):
        char = expression[place]
        if char == "\\":
            place, repeated = place + 2, False
        elif class_from:
            if char == "]" and place > class_from:
                class_from = 0
            elif expression.startswith("[:", place) and ":]" in expression[place + 2 :]:
                place = expression.index(":]", place + 2) + 1
            elif char == "[" or expression.startswith(_SET_OPERATORS, place):
                return (
                    "has a class of characters within another, or an operation on them, which dialects read differently"
                )
            place += 1
        elif char == "[":
            place += 2 if expression.startswith("^", place + 1) else 1
            class_from, repeated = place, False
        elif found := _REPEAT.match(expression, place):
            if repeated and char != "?":
                return "repeats a repetition without brackets, which dialects read differently"
            place, repeated = found.end(), True
        else:
            place, repeated = place + (2 if expression.startswith("(?", place) else 1), False
    return None
