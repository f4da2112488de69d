"""One meaning or none: the edges of what is read, and what parsers differ on is refused."""

import pytest

from common.types.errors import InvalidRequest
from router.strict_json import MAX_DEPTH, parse, parse_object


def refusal(body: bytes) -> str:
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    (violation,) = caught.value.violations
    assert violation.field == "body"
    return violation.description


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_depth_has_a_limit_and_texts_have_none(opens: str, closes: str) -> None:
    def nested(depth: int) -> bytes:
        return (opens * depth + "1" + closes * depth).encode()

    parse(nested(MAX_DEPTH))
    parse(b"[[], [], " + nested(MAX_DEPTH - 1) + b"]")
    assert "levels deep" in refusal(nested(MAX_DEPTH + 1))
    assert "levels deep" in refusal(nested(200_000))
    assert "levels deep" in refusal(opens.encode() * 200_000), "never closed"
    assert parse(b"[" + b'"[[{{\\"[[", ' * 200 + b"1]")[-1] == 1
    wide = b"[" + b"[1], " * 500 + b"1]"
    assert len(parse(wide)) == 501, "many, and none of them deep"


def test_a_text_that_never_ends_takes_no_longer() -> None:
    assert refusal(b"[" * 65 + b'"' + b"\\" * 400_001).startswith("is nested")
    assert refusal(b'["' + b'[\\"' * 200_000).startswith("is not JSON")


@pytest.mark.parametrize("body", [b'{"a": 1, "a": 1}', b'[{"b": {"a": 1, "\\u0061": 2}}]', b'{"": 1, "": 2}'])
def test_a_key_twice_is_refused_however_it_is_written(body: bytes) -> None:
    assert "key twice" in refusal(body)


def test_keys_that_only_look_the_same_are_two() -> None:
    assert len(parse('{"é": 1, "e\u0301": 2, "É": 3, "é ": 4}'.encode())) == 4


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "[NaN]", '{"a": -Infinity}'])
def test_words_for_what_is_no_number(word: str) -> None:
    assert "not JSON" in refusal(word.encode())


@pytest.mark.parametrize("number", ["1e309", "-1e309", "1" * 400 + ".0", "1e99999999"])
def test_numbers_beyond_a_double(number: str) -> None:
    assert "too large" in refusal(f"[{number}]".encode())


def test_numbers_at_the_edge() -> None:
    assert parse(b"[1e308, -0, -0.0, 5e-324, 1e-999]") == [1e308, 0, -0.0, 5e-324, 0.0]
    assert parse(b"9" * 4300) == int("9" * 4300)
    assert refusal(b"9" * 4301) == "has a number that is too long"


@pytest.mark.parametrize("half", ["\\ud800", "\\uDFFF", "a\\udc00\\ud800b", "\\uD83D\\u0041"])
def test_half_a_pair_is_no_character(half: str) -> None:
    for body in (f'"{half}"', f'{{"{half}": 1}}', f'[["x", "{half}"]]'):
        assert "surrogate" in refusal(body.encode())


def test_whole_pairs_and_written_backslashes_are_characters() -> None:
    assert parse(b'["\\ud83d\\ude00", "\\\\ud800", "\\u0000"]') == ["😀", "\\ud800", "\0"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"nul",
        b"{'a': 1}",
        b"[1,]",
        b'{"a": 1,}',
        b"[1] [2]",
        b"// a remark\n1",
        b'"a\nb"',
        b'"a\tb"',
        b'"a\x00b"',
        b"+1",
        b"01",
        b".5",
        b"1.",
        b"0x10",
        b'"\\x41"',
        b'"\\u12"',
        b"\x00",
        b"[1]\x00",
        b"True",
    ],
)
def test_what_only_some_parsers_take(body: bytes) -> None:
    assert refusal(body).startswith("is not JSON: see line ")


@pytest.mark.parametrize("body", [b"\xff", b"\xc3", b'"\xed\xa0\x80"', b'"\xc0\x80"', "{}".encode("utf-16"), b"\xa0{}"])
def test_what_is_not_utf8(body: bytes) -> None:
    assert refusal(body) == "is not UTF-8"


def test_a_mark_in_front_is_no_json() -> None:
    assert refusal(b"\xef\xbb\xbf{}").startswith("is not JSON")


@pytest.mark.parametrize("body", [b"[]", b"1", b'"{}"', b"null", b"true"])
def test_a_request_is_an_object(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="must be a JSON object"):
        parse_object(body)
