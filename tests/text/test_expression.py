"""Expressions that two dialects read differently are told from those that only look like it."""

import pytest

from common.text.expression import ambiguity


@pytest.mark.parametrize(
    "expression",
    [
        "", "a+b*c?", "a+?", "a*?b", "a{2,3}?", "(?:a+)+", "(a*)*", r"\++", r"\*+", "[+]+", "[*+]{2}", "a{x}+",
        "a{,3}+", "[]a]", "[^]a]", r"[\[a]", r"[a\]]+", "[a-z&]", "[a&b-]", "[[:alpha:]_]+", "[^[:digit:]]", "(?i)a",
        "(?P<n>a)?", "a|b", "^a$", r"\\[a]", "[a", "\\",
    ],
)  # fmt: skip
def test_plain(expression: str) -> None:
    assert ambiguity(expression) is None


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("a++", "repeats a repetition"),
        ("a*+", "repeats a repetition"),
        ("a?+b", "repeats a repetition"),
        ("a{1,2}+", "repeats a repetition"),
        ("a**", "repeats a repetition"),
        ("a+?+", "repeats a repetition"),
        ("a{2}{3}", "repeats a repetition"),
        ("(ab)?*", "repeats a repetition"),
        ("[a]{2}*", "repeats a repetition"),
        ("[a[b]]", "class of characters within another"),
        ("[a-c[$]", "class of characters within another"),
        ("[a-z&&[^b]]", "class of characters within another"),
        ("[a--b]", "class of characters within another"),
        ("[a~~b]", "class of characters within another"),
    ],
)
def test_ambiguous(expression: str, why: str) -> None:
    assert why in (ambiguity(expression) or "")
