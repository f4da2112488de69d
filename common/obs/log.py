"""The log: one line per event on stderr, as text with key=value or as JSON.

Owns format, level, and which facts every line of a request carries. Modules log through `logging` as usual: a fixed
message, facts in `extra`. Values of keys that name a secret never appear.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TextIO

ROOT = "baton"
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRET = re.compile(r"(^|_)(key|secret|password|authorization|ticket|credentials)$", re.IGNORECASE)
_PLAIN = re.compile(r"[^\s\"'=\x00-\x1f\x7f]+")
_bound: ContextVar[Mapping[str, object]] = ContextVar("bound", default=MappingProxyType({}))


def set_up_logging(format: str = "text", level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Once per process. `format` is text or json; without a stream it is whatever stderr is at the time."""
    target = logging.StreamHandler(stream) if stream is not None else _Stderr()
    target.setFormatter(JsonLines() if format == "json" else TextLines())
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [target]
    logger.setLevel(level)
    logger.propagate = False


@contextmanager
def bound(**facts: object) -> Iterator[None]:
    """Every line logged inside carries these facts, such as the request's id, also in tasks started inside."""
    token = _bound.set({**_bound.get(), **facts})
    try:
        yield
    finally:
        _bound.reset(token)


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """Bound facts, then the record's own; secrets are masked."""
    own = {name: value for name, value in vars(record).items() if name not in _OWN}
    return {name: "***" if _SECRET.search(name) else value for name, value in {**_bound.get(), **own}.items()}


class TextLines(logging.Formatter):
    """`2026-11-21T12:00:00.123Z INFO baton.join joined router=127.0.0.1:50052`; a traceback follows indented."""

    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{name}={_plain(value)}" for name, value in facts_of(record).items())
        message = _one_line(record.getMessage())
        line = f"{_time(record)} {record.levelname} {record.name} {message} {facts}".rstrip()
        trace = _trace(self, record)
        return line + "".join(f"\n    {part}" for part in trace.splitlines())


class JsonLines(logging.Formatter):
    """The same as one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **facts_of(record),
        }
        trace = _trace(self, record)
        if trace:
            line["traceback"] = trace
        return json.dumps(line, default=str, ensure_ascii=False)


class _Stderr(logging.StreamHandler[TextIO]):
    """Looks stderr up for every line: a progress display replaces it for a while to keep lines apart."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) and text.isprintable() else json.dumps(text)


def _one_line(message: str) -> str:
    return message if message.isprintable() else json.dumps(message)
