"""What a start-up says, on a terminal and elsewhere."""

import io
import threading

from common.obs.phases import Phases, failure_told, phase_told
from common.types.errors import ModelError, StartupError


class Clock:
    """Moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_elsewhere_every_phase_is_a_line() -> None:
    stream, clock = io.StringIO(), Clock()
    phases = Phases("router", stream, clock)
    phases.begin("load")
    phases.progress(1, 2)
    phases.say("1024 blocks = 16384 tokens")
    clock.now += 2.5
    phases.begin("listen")
    clock.now += 0.5
    phases.ready("clients on 127.0.0.1:50051")
    assert stream.getvalue().splitlines() == [
        "router: load ...",
        "router: 1024 blocks = 16384 tokens",
        "router: listen ...",
        "router: ready in 3.0 s: clients on 127.0.0.1:50051",
    ]


def test_elsewhere_a_long_phase_says_how_far_it_is() -> None:
    stream, clock = io.StringIO(), Clock()
    phases = Phases("worker", stream, clock)
    phases.begin("load")
    for done in range(1, 7):
        clock.now += 1.0
        phases.progress(done, 8)
    assert stream.getvalue().splitlines() == [
        "worker: load ...",
        "worker: load 25% ...",
        "worker: load 50% ...",
        "worker: load 75% ...",
    ]
    assert [phase_told(line) for line in stream.getvalue().splitlines()[:2]] == ["load", "load 25%"]


def test_what_another_process_said_is_understood() -> None:
    stream = io.StringIO()
    phases = Phases("decode", stream, Clock())
    phases.begin("load")
    assert failure_told(stream.getvalue().splitlines()) is None
    phases.failed(ModelError("there is no config.json in /models/x", "Check --model"))
    told = failure_told(stream.getvalue().splitlines())
    assert told is not None
    assert (told.cause, told.fix) == ("there is no config.json in /models/x", "Check --model")
    assert phase_told("2026-11-21T15:27:59.757Z INFO baton.kernels native kernels level=avx2") == ""


def test_a_failure_ends_with_cause_and_fix() -> None:
    stream = io.StringIO()
    phases = Phases("decode", stream, Clock())
    phases.begin("load")
    phases.failed(ModelError("there is no config.json in /models/x", "Check --model"))
    assert stream.getvalue().splitlines()[-2:] == [
        "decode: cannot start (load): there is no config.json in /models/x",
        "decode: to fix it: Check --model",
    ]


def test_a_failure_before_any_phase_and_without_a_fix() -> None:
    stream = io.StringIO()
    Phases("decode", stream, Clock()).failed(StartupError("no", ""))
    assert stream.getvalue() == "decode: cannot start: no\n"


def test_a_terminal_shows_progress_and_keeps_a_line_per_phase() -> None:
    stream, clock = Terminal(), Clock()
    phases = Phases("prefill", stream, clock)
    phases.begin("load")
    worker = threading.Thread(target=phases.progress, args=(50, 100))
    worker.start()
    worker.join()
    phases.say("[not] markup")
    clock.now += 2.0
    phases.begin("listen")
    phases.ready("here")
    out = stream.getvalue()
    assert "[not] markup" in out
    assert "prefill: load took 2.0 s" in out
    assert out.endswith("prefill: ready in 2.0 s: here\n")


def test_a_failure_on_a_terminal_takes_the_display_down_first() -> None:
    stream = Terminal()
    phases = Phases("prefill", stream, Clock())
    phases.begin("load")
    phases.failed(StartupError("cause", "fix"))
    assert stream.getvalue().endswith("prefill: cannot start (load): cause\nprefill: to fix it: fix\n")


def test_progress_without_a_phase_is_no_error() -> None:
    Phases("x", Terminal(), Clock()).progress(1, 2)
