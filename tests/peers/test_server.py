"""Servers started, awaited and ended, with a real process that answers over HTTP."""

import asyncio
import os
import sys
import urllib.request
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest

from loadtest.peers.command import Failed, bench, output
from loadtest.peers.server import NotStarted, Server, running
from tests.addresses import free_address

ANSWERS = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b'{"data": [{"id": "m"}]}'
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.end_headers()
        for text in "abc":
            self.wfile.write(b'data: {"choices": [{"text": "%s", "finish_reason": null}]}\\n\\n' % text.encode())
        self.close_connection = True
print("listening", flush=True)
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Answer).serve_forever()
"""
LATE = ANSWERS.replace(
    """body = b'{"data": [{"id": "m"}]}'""",
    """Answer.asked += 1; body = b'{"data": [{"id": "m", "ready": %s}]}' % (b"false", b"true")[Answer.asked > 2]""",
).replace("print(", "Answer.asked = 0; print(")


def server(code: str) -> Server:
    address = free_address()
    argv = (sys.executable, "-c", code, *address.split(":"))
    return Server("fake", argv, f"http://{address}", 30.0, dict(os.environ), "m")


async def test_a_server_is_awaited_measured_and_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with running(server(ANSWERS), log) as up:
        (found,) = await bench(up, 60.0, dict(os.environ), requests=2, warm_up=0, output_tokens=3)
    assert (found["completed"], found["output_lens"]) == (2, [3, 3])
    assert "listening" in log.read_text()
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(*up.target.removeprefix("http://").split(":"))


async def test_one_that_says_it_is_not_ready_is_asked_again(tmp_path: Path) -> None:
    async with running(server(LATE), tmp_path / "log"):
        pass
    assert (tmp_path / "log").read_text().count("GET /v1/models") == 3


async def test_one_that_answers_is_awaited_until_all_of_it_is_there(tmp_path: Path) -> None:
    asked = []

    async def is_whole() -> bool:
        asked.append(await asyncio.to_thread(answers))
        return len(asked) == 3

    def answers() -> bool:
        with urllib.request.urlopen(f"{made.target}/v1/models") as answer:
            return bool(answer.status == HTTPStatus.OK)

    made = server(ANSWERS)

    async with running(replace(made, is_whole=is_whole), tmp_path / "log"):
        assert asked == [True, True, True]


async def test_one_that_ends_at_once_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotStarted, match="exit code 3") as failure:
        async with running(server("import sys; print('no model here'); sys.exit(3)"), tmp_path / "log"):
            pass
    assert "no model here" in str(failure.value)


async def test_one_that_never_answers_is_given_up_and_killed(tmp_path: Path) -> None:
    stubborn = "import signal, os; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); signal.pause()"
    with pytest.raises(NotStarted, match=r"not ready within 5"):
        async with asyncio.timeout(60), running(replace(server(stubborn), ready_s=5.0, end_s=0.1), tmp_path / "log"):
            pass
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "log").read_text()), 0)


async def test_a_command_gives_its_lines_or_its_failure() -> None:
    environment = dict(os.environ)
    heard: list[str] = []
    printing = (sys.executable, "-c", "print(1); print(2)")
    assert await output("it", printing, 30.0, environment, heard.append) == ["1", "2"] == heard
    with pytest.raises(Failed, match=r"it failed \(exit code 1\): .*why"):
        await output("it", (sys.executable, "-c", "raise SystemExit('why')"), 30.0, environment)
    with pytest.raises(Failed, match="longer than"):
        await output("it", (sys.executable, "-c", "import time; time.sleep(99)"), 0.5, environment)
