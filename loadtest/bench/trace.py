"""Recorded traffic: when each request came and how long prompt and answer were. Pure; lines in, rows out.

The format is found from the first line: Azure's csv (TIMESTAMP, ContextTokens, GeneratedTokens) or Mooncake's jsonl
(timestamp in ms, input_length, output_length, hash_ids: one per 512 tokens, the same id means the same tokens).
"""

import csv
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from common.types.options import ConfigError

AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
HASHED_TOKENS = 512


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One request; `at_s` counts from the first one's arrival."""

    at_s: float
    num_input: int
    num_output: int
    hash_ids: tuple[int, ...] = ()


def read_trace(lines: Iterable[str], name: str) -> tuple[TraceRow, ...]:
    """All rows in order of arrival; `name` is the file's, for messages."""
    rest = iter(lines)
    first = next(rest, "")
    if first.lstrip().startswith("{"):
        rows = list(_mooncake(chain([first], rest), name))
    elif set(AZURE) <= {column.strip() for column in first.split(",")}:
        rows = list(_azure(chain([first], rest), name))
    else:
        fix = f"Its first line must be a JSON object, or name the columns {', '.join(AZURE)}"
        raise ConfigError(f"The trace {name} has no format that is known", fix)
    if not rows:
        raise ConfigError(f"The trace {name} has no requests", "Name another file")
    rows.sort(key=lambda row: row.at_s)
    begin = rows[0].at_s
    return tuple(TraceRow(row.at_s - begin, row.num_input, row.num_output, row.hash_ids) for row in rows)


def _azure(lines: Iterable[str], name: str) -> Iterator[TraceRow]:
    for number, row in enumerate(csv.DictReader(lines, skipinitialspace=True), 2):
        try:
            at = datetime.fromisoformat(row[AZURE[0]]).timestamp()
            yield _row(at, int(row[AZURE[1]]), int(row[AZURE[2]]), ())
        except (TypeError, ValueError) as error:
            raise _malformed(name, number) from error


def _mooncake(lines: Iterable[str], name: str) -> Iterator[TraceRow]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            ids = tuple(int(each) for each in row.get("hash_ids", ()))
            yield _row(row["timestamp"] / 1000, int(row["input_length"]), int(row["output_length"]), ids)
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise _malformed(name, number) from error


def _row(at_s: float, num_input: int, num_output: int, hash_ids: tuple[int, ...]) -> TraceRow:
    if num_input < 0 or num_output < 0:
        raise ValueError("a length below zero")
    if not math.isfinite(at_s):
        raise ValueError("a time that never comes")
    return TraceRow(at_s, max(1, num_input), max(1, num_output), hash_ids)


def _malformed(name: str, number: int) -> ConfigError:
    return ConfigError(f"Line {number} of the trace {name} cannot be read", "It must have a time and two lengths")
