"""Step frames: all tokens of one step as columns, because a message costs far more than a row in it.

A row is (the router's short name of an attempt on this stream, the token). Rows keep their order.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import repeat

from baton.v1 import decode_pb2
from common.net import wire
from common.net.convert import finish_from_proto, finish_to_proto, logprobs_from_proto, logprobs_to_proto
from common.types.errors import invalid
from common.types.frame import Frame
from common.types.sampling import SampledToken

Row = tuple[int, SampledToken]
_plain_token: Callable[[tuple[object, ...]], SampledToken] = partial(tuple.__new__, SampledToken)
"""A named tuple's own constructor is a function of Python's, twice as slow, and this runs for each token."""


def step_frame_to_proto(frame: Frame) -> decode_pb2.StepFrame:
    message = decode_pb2.StepFrame(
        streams=frame.streams, choices=frame.choices, indices=frame.indices, token_ids=frame.token_ids
    )
    for row, finish in frame.finishes:
        message.finishes.add(row=row, reason=finish_to_proto(finish))
    for row, logprobs in frame.logprobs:
        message.logprobs.add(row=row, logprobs=logprobs_to_proto(logprobs))
    return message


def step_rows_from_proto(frame: decode_pb2.StepFrame) -> tuple[Row, ...]:
    """Streams count from 1: a zero is an absent field."""
    streams, choices, indices, token_ids = frame.streams[:], frame.choices[:], frame.indices[:], frame.token_ids[:]
    if not len(streams) == len(choices) == len(indices) == len(token_ids) <= wire.MAX_ROWS:
        raise invalid("step", f"columns must have equal length, at most {wire.MAX_ROWS}")
    if not streams:
        return ()
    if (
        not min(streams)
        or max(choices) >= wire.MAX_CHOICES
        or max(indices) > wire.MAX_TOKENS
        or max(token_ids) > wire.MAX_TOKEN_ID
    ):
        _refuse(streams, choices, indices, token_ids)
    tokens = list(map(_plain_token, zip(choices, indices, token_ids, repeat(None), repeat(None), strict=False)))
    if frame.finishes or frame.logprobs:
        _complete(tokens, frame)
    return tuple(zip(streams, tokens, strict=True))


def _refuse(streams: list[int], choices: list[int], indices: list[int], token_ids: list[int]) -> None:
    """Says what is wrong. Only where something is: calls for each bound are a good part of what a step costs."""
    wire.number("step.streams", min(streams), 1, wire.MAX_U64)
    wire.number("step.choices", max(choices), 0, wire.MAX_CHOICES - 1)
    wire.number("step.indices", max(indices), 0, wire.MAX_TOKENS)
    wire.token_ids("step.token_ids", token_ids)


def _complete(tokens: list[SampledToken], frame: decode_pb2.StepFrame) -> None:
    """What few rows have."""
    num_rows = len(tokens)
    finishes = {entry.row: finish_from_proto(entry.reason, "step.finishes.reason") for entry in frame.finishes}
    logprobs = {entry.row: logprobs_from_proto(entry.logprobs, "step.logprobs") for entry in frame.logprobs}
    _rows_exist("step.finishes", finishes, len(frame.finishes), num_rows)
    _rows_exist("step.logprobs", logprobs, len(frame.logprobs), num_rows)
    for row in finishes.keys() | logprobs.keys():
        tokens[row] = tokens[row]._replace(logprobs=logprobs.get(row), finish=finishes.get(row))


def _rows_exist(field: str, by_row: Mapping[int, object], num_entries: int, num_rows: int) -> None:
    if len(by_row) != num_entries:
        raise invalid(field + ".row", "must not repeat a row")
    if by_row and max(by_row) >= num_rows:
        raise invalid(field + ".row", "must be a row of the frame")
