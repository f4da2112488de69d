"""Lines of the log: one per event, facts that can be found again, no secrets, nothing forged."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from common.obs.log import ROOT, bound, set_up_logging

log = logging.getLogger("baton.test")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    logger = logging.getLogger(ROOT)
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def lines(format: str, level: int = logging.INFO) -> io.StringIO:
    stream = io.StringIO()
    set_up_logging(format, level, stream)
    return stream


def test_text_has_time_level_logger_message_and_facts() -> None:
    stream = lines("text")
    log.info("joined", extra={"router": "127.0.0.1:50052", "num": 3})
    stamp, rest = stream.getvalue().split(" ", 1)
    assert stamp.endswith("Z")
    assert rest == "INFO baton.test joined router=127.0.0.1:50052 num=3\n"


def test_json_has_the_same() -> None:
    stream = lines("json")
    log.warning("router %s", "lost", extra={"reason": "it was silent", "num": 3, "ids": (1, 2)})
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "WARNING",
        "logger": "baton.test",
        "message": "router lost",
        "reason": "it was silent",
        "num": 3,
        "ids": [1, 2],
    }


@pytest.mark.parametrize("format", ["text", "json"])
def test_one_event_is_one_line_whatever_it_says(format: str) -> None:
    stream = lines(format)
    log.info("a\nb", extra={"x": "c\nINFO forged", "y": 'quo"te', "z": "\x1b[31m", "empty": ""})
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_values_with_spaces_are_quoted() -> None:
    stream = lines("text")
    log.info("m", extra={"reason": "two words", "sign": "a=b"})
    assert stream.getvalue().endswith('m reason="two words" sign="a=b"\n')


@pytest.mark.parametrize("format", ["text", "json"])
def test_secrets_are_masked(format: str) -> None:
    stream = lines(format)
    names = ("cache_key", "key", "api_key", "password", "Authorization", "ticket", "client_secret")
    log.info("m", extra={**dict.fromkeys(names, "hunter2"), "cache_key_id": "ab12", "token_ids": 5})
    assert "hunter2" not in stream.getvalue()
    assert "ab12" in stream.getvalue()


def test_bound_facts_stand_on_every_line_inside() -> None:
    stream = lines("text")
    with bound(request="r-1"):
        log.info("one")
        with bound(attempt=2):
            log.info("two", extra={"x": 1})
    log.info("three")
    ends = [line.split("baton.test ")[1] for line in stream.getvalue().splitlines()]
    assert ends == ["one request=r-1", "two request=r-1 attempt=2 x=1", "three"]


async def test_tasks_keep_the_facts_they_were_started_with() -> None:
    stream = lines("text")

    async def work() -> None:
        log.info("inside")

    with bound(request="r-1"):
        task = asyncio.create_task(work())
    with bound(request="r-2"):
        await task
    assert stream.getvalue().endswith("inside request=r-1\n")


def test_a_traceback_follows_indented_or_as_a_field() -> None:
    for format in ("text", "json"):
        stream = lines(format)
        try:
            _ = 1 // 0
        except ZeroDivisionError:
            log.exception("bug")
        first, *rest = stream.getvalue().splitlines()
        if format == "json":
            assert "ZeroDivisionError" in json.loads(first)["traceback"]
        else:
            assert all(line.startswith("    ") for line in rest)
            assert "ZeroDivisionError" in rest[-1]


def test_levels_below_are_left_out() -> None:
    stream = lines("text", logging.WARNING)
    log.info("quiet")
    assert stream.getvalue() == ""


def test_without_a_stream_it_follows_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up_logging()
    for _ in range(2):
        now = io.StringIO()
        monkeypatch.setattr(sys, "stderr", now)
        log.info("here")
        assert "here" in now.getvalue()


def test_setting_up_twice_says_everything_once() -> None:
    lines("text")
    stream = lines("text")
    log.info("once")
    assert stream.getvalue().count("once") == 1
