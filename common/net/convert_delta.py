"""The message that a router sends most, written as bytes: a `GenerateResponse` with a delta of text and tokens.

Built as objects it costs about four times as much, and most of what a router does for a token it does here. Anything
else a delta may hold is for the generated classes.
"""

from collections.abc import Sequence

_DELTA, _CHOICE, _TEXT, _TOKEN_IDS = b"\x1a", b"\x08", b"\x12", b"\x1a"
"""Tags of `GenerateResponse.delta` and of a delta's fields: the field's number times 8, plus 2 for a length."""
_SHORT = 0x70
"""Bytes of text with which every length still takes one byte."""
_ONE_BYTE = tuple(bytes((number,)) for number in range(0x80))


def plain_delta_bytes(choice: int, text: str, token_ids: Sequence[int]) -> bytes:
    """The same bytes as the generated class writes; fields that are empty or zero are left out."""
    encoded = text.encode()
    if not choice and 0 < len(encoded) < _SHORT and len(token_ids) == 1:  # nearly all of them
        packed = _varint(token_ids[0])
        num_text, num_packed = len(encoded), len(packed)
        return b"\x1a%c\x12%c%b\x1a%c%b" % (4 + num_text + num_packed, num_text, encoded, num_packed, packed)
    body = b"" if not choice else _CHOICE + _varint(choice)
    if text:
        body += b"%b%b%b" % (_TEXT, _varint(len(encoded)), encoded)
    if token_ids:
        packed = _varint(token_ids[0]) if len(token_ids) == 1 else b"".join(map(_varint, token_ids))
        body += b"%b%b%b" % (_TOKEN_IDS, _varint(len(packed)), packed)
    return b"%b%b%b" % (_DELTA, _varint(len(body)), body)


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have the eighth set."""
    if number < 0x80:
        return _ONE_BYTE[number]
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    return bytes((number & 0x7F | 0x80,)) + _varint(number >> 7)
