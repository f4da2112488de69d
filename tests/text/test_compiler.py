"""Compiling for a vocabulary: agreement on its tokens, refusals in fixed words, limits, and what is remembered."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text import compiler as under_test
from common.text.compiler import Compiler, Vocabulary
from common.text.reasons import reason_of
from common.text.tokenizer import Tokenizer
from common.types.constraint import Constraint, ConstraintKind
from common.types.errors import InvalidRequest
from tests.constrained import END, WIDTH, compiler, tokenizer, tokens_of, vocabulary
from tests.text.folders import KINDS, build


def refusal(constraint: Constraint) -> str:
    with pytest.raises(InvalidRequest) as caught:
        compiler().check(constraint)
    (violation,) = caught.value.violations
    assert violation.field == "constraint"
    return violation.description


ENFORCEABLE = [
    Constraint.json_object(),
    Constraint.json_schema(True),
    Constraint.json_schema({"type": "object", "properties": {"a": {"$ref": "#"}}}),
    Constraint.json_schema({"type": "string", "title": "T", "description": "d", "x-own": 1}),
    Constraint.json_schema({"properties": {f"p{number}": {"type": "integer"} for number in range(300)}}),
    Constraint.regex("^a+|b$"),
    Constraint.regex(".{0,60000}"),
    Constraint.regex("x*"),
    Constraint.grammar('start: <|eos|> | "a" start'),
    Constraint.choice(["a", "ab", 'x"/\n']),
]


@pytest.mark.parametrize("constraint", ENFORCEABLE, ids=lambda constraint: constraint.source[:30])
def test_what_can_be_enforced_is_accepted(constraint: Constraint) -> None:
    compiler().check(constraint)


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        (Constraint.json_schema({"uniqueItems": True}), "uses keywords that cannot be enforced: uniqueItems"),
        (Constraint.json_schema({"if": {}, "then": {}}), "uses keywords that cannot be enforced: if, then"),
        (Constraint.json_schema({"type": "string", "format": "zork"}), "names a format that cannot be enforced"),
        (Constraint.json_schema({"type": "strong"}), "names a type that JSON does not have"),
        (Constraint.json_schema({"properties": 5}), "holds a keyword with a value it cannot have"),
        (Constraint.json_schema({"enum": []}), "can be met by no text"),
        (Constraint.json_schema({"$ref": "#"}), "can be met by no text"),
        (Constraint.json_schema({"type": "integer", "minimum": 2, "maximum": 1}), "can be met by no text"),
        (Constraint.json_schema({"$ref": "http://example.org/x"}), "refers to a schema that is not within it"),
        (Constraint.json_schema({"$ref": "#/none"}), "refers to a schema that is not within it"),
        (
            Constraint.json_schema({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
            "has a oneOf whose branches are not known to exclude each other: use anyOf",
        ),
        (Constraint.json_schema({"type": "string", "pattern": "(a"}), "holds what is no regular expression"),
        (
            Constraint.regex("(?=a)b"),
            "uses look-around, a word boundary or an anchor inside, which cannot be enforced",
        ),
        (Constraint.regex(r"(a)\1"), "uses back-references, which cannot be enforced"),
        (Constraint.regex("a("), "holds what is no regular expression"),
        (Constraint.regex("(a{1000}){1000}"), "is too large to be enforced"),
        (
            Constraint.regex("[a&&b]"),
            "has a class of characters within another, or an operation on them, which dialects read differently",
        ),
        (Constraint.grammar("start: /[a&&b]/"), "can be met by no text"),
        (Constraint.grammar("start: foo"), "refers to a name that it does not define (line 1, column 8)"),
        (Constraint.grammar('a: "x"\nstart: "a'), "is not a grammar in Lark's syntax (line 2, column 10)"),
        (
            Constraint.grammar("start: <|none|>"),
            "names a special token that the model does not have (line 1, column 8)",
        ),
        (Constraint.grammar("start: a\na: b\nb: a"), "can be met by no text"),
        (Constraint.grammar('a: "x"'), "cannot be compiled"),
        (Constraint.grammar("root ::= foo"), "refers to a name that it does not define"),
    ],
    ids=lambda value: value.source[:30] if isinstance(value, Constraint) else "",
)
def test_what_cannot_is_refused_in_fixed_words(constraint: Constraint, reason: str) -> None:
    assert refusal(constraint) == reason


def test_a_refusal_never_quotes_the_constraint() -> None:
    secret = "s3cret-w0rd"
    for constraint in (
        Constraint.json_schema({"type": secret}),
        Constraint.json_schema({"format": secret, "type": "string"}),
        Constraint.json_schema({"$ref": f"file:///etc/{secret}"}),
        Constraint.json_schema({"not": {"const": secret}}),
        Constraint.regex(f"({secret}"),
        Constraint.grammar(f"start: {secret}"),
        Constraint.grammar(f'start: "{secret}'),
        Constraint(ConstraintKind.JSON_SCHEMA, f'{{"{secret}"'),
    ):
        assert secret not in refusal(constraint)


def test_unknown_messages_become_a_fixed_text() -> None:
    assert reason_of("thread 'main' panicked at /root/.cargo/x.rs", own_lines=True) == "cannot be compiled"
    assert reason_of('Unimplemented keys: ["/etc/passwd", "not"]', own_lines=False).endswith("enforced: not")


def test_a_tokenizer_without_a_token_for_every_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="of a kind that is not understood"):
        Vocabulary(Tokenizer.load(build("unigram", tmp_path / "unigram")), 200, (2,))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "unigram"])
def test_every_other_kind_of_tokenizer_agrees_on_bytes_and_special_tokens(kind: str, tmp_path: Path) -> None:
    folder = build(kind, tmp_path / kind)
    text = Tokenizer.load(folder)
    end = text.eos_token_id if text.eos_token_id is not None else text.vocab_size - 1
    tokens = Vocabulary(text, text.vocab_size + 37, (end,)).tokens
    assert (tokens.vocab_size, tokens.eos_tokens) == (text.vocab_size + 37, [end])
    assert all(tokens.is_special_token(token) for token in text.special_ids)
    said = text.encode('{"ü": [1, "🙂"]}', add_special_tokens=False)
    plain = [token for token in said if not tokens.is_special_token(token)]
    # some vocabularies put a blank in front of a text, which is for the stream's decoder to take off again
    assert text.decode(plain).strip() == tokens.decode_str(plain).strip()


def test_models_without_an_end_are_refused_once_and_for_all() -> None:
    for ends in ((), (WIDTH + 5,), (-1,)):
        with pytest.raises(InvalidRequest, match="names no token that ends an answer"):
            Vocabulary(tokenizer(), WIDTH, ends)


def test_the_vocabulary_is_as_wide_as_the_logits() -> None:
    wide = Vocabulary(tokenizer(), 1000, (END,))
    assert (wide.tokens.vocab_size, wide.num_words) == (1000, 32)
    matcher = Compiler(wide).begin(Constraint.regex("(?s:.*)"))
    bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
    assert np.flatnonzero(bits)[-1] == END
    narrow = Vocabulary(tokenizer(), 100, (50,))
    assert narrow.tokens.vocab_size == WIDTH


def test_compiled_once_and_begun_afresh_each_time() -> None:
    compiling, constraint = compiler(), Constraint.regex("ab")
    assert not compiling.has(constraint)
    first, second = compiling.begin(constraint), compiling.begin(constraint)
    assert compiling.has(constraint)
    assert first.consume_tokens(tokens_of("a"))
    assert second.consume_tokens(tokens_of("ab"))
    assert not compiling.begin(constraint).consume_tokens(tokens_of("b"))
    compiling.forget(constraint)
    assert not compiling.has(constraint)


def test_remembering_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "MAX_COUNT", 2)
    compiling = compiler()
    asked = [Constraint.regex(letter) for letter in "abc"]
    for constraint in asked:
        compiling.begin(constraint)
    assert [compiling.has(constraint) for constraint in asked] == [False, True, True]


def test_what_takes_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "PROBE_S", -1.0)
    assert refusal(Constraint.regex("a+")) == "takes too long to enforce"
    monkeypatch.setattr(under_test, "COMPILE_S", -1.0)
    assert refusal(Constraint.regex("a+")) == "takes too long to compile"


def test_a_panic_of_the_compiler_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})

    def broken(*_: object, **__: object) -> None:
        raise panic("/root/.cargo/registry/src/parser.rs:1")

    compiling = compiler()
    monkeypatch.setattr(under_test, "LLMatcher", broken)
    with pytest.raises(InvalidRequest, match="cannot be compiled"):
        compiling.check(Constraint.regex("a"))
    monkeypatch.setattr(under_test, "LLMatcher", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        compiling.check(Constraint.regex("a"))


@settings(max_examples=60)
@given(st.sampled_from(ConstraintKind), st.text(alphabet='ab01{}[]()":,|*+?.\\^$/<>-# \n\ud800é', max_size=40))
def test_any_text_is_compiled_or_refused(kind: ConstraintKind, source: str) -> None:
    try:
        compiler().check(Constraint(kind, source))
    except InvalidRequest as error:
        named = {violation.field for violation in error.violations}
    else:
        named = {"constraint"}
    assert named == {"constraint"}


def test_digits_letters_and_blanks_of_an_expression_are_ascii() -> None:
    matcher = compiler().begin(Constraint.regex(r"\d\w\s"))
    for expression in ("[0-9]", "[a-zA-Z0-9_]", "[ \t\n\r\f\v]"):
        bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
        letters = [tokenizer().decode([token]) for token in np.flatnonzero(bits).tolist()]
        assert set(letters) == {letter for letter in map(chr, range(128)) if re.match(expression, letter)}
        assert matcher.consume_token(int(np.flatnonzero(bits)[0]))


def test_a_schema_of_every_bound_compiles_within_limits() -> None:
    schema = {"enum": [f"value {number}" for number in range(4000)]}
    assert len(json.dumps(schema)) < 1 << 17
    Compiler(vocabulary()).check(Constraint.json_schema(schema))
