"""What is held against ceilings: bytes a step reads, time inside native code, read bandwidth, steps in a scrape."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from common.kernels.native.library import library
from common.models.decoder import Decoder
from loadtest.micro import _reading
from loadtest.micro._engine import Engine, TimedLibrary, step_bytes
from loadtest.micro._reading import Reading
from loadtest.micro.served import Steps, steps
from loadtest.shapes import random_model
from tests.tiny import tiny_model

native = pytest.mark.skipif(library() is None, reason="no native kernels on this machine")

SCRAPE = """
# TYPE baton_member_steps_total counter
baton_member_steps_total{member="decode-0",role="decode"} 12
baton_member_steps_total{member="prefill-0",role="prefill"} 99
baton_member_step_seconds_total{member="decode-0",role="decode",where="kernels"} 0.75
baton_member_step_seconds_total{member="decode-0",role="decode",where="outside"} 2.5e-01
baton_member_step_seconds_total{member="prefill-0",role="prefill",where="outside"} 9
"""


def test_only_what_the_library_does_is_inside() -> None:
    now = [0.0]

    def call(seconds: float) -> float:
        now[0] += seconds
        return 2 * seconds

    timed = TimedLibrary(SimpleNamespace(call=call), lambda: now[0])
    assert [timed.call(1.5), timed.call(2.0)] == [3.0, 4.0]
    now[0] += 100
    assert timed.seconds == 3.5


@native
def test_a_steps_time_has_a_part_outside_native_code(tmp_path: Path) -> None:
    engine = Engine(Decoder.load(random_model("tiny", tmp_path), "bfloat16"), time.perf_counter)
    engine.decode(8)
    for _ in range(3):
        num_tokens, seconds, outside = engine.step()
        assert num_tokens == 8
        assert 0 < outside < seconds


def test_a_step_reads_all_weights_once_and_every_context() -> None:
    tied, plain = (Decoder.load(tiny_model(name), "bfloat16") for name in ("qwen2", "llama"))
    kv = 3 * 2 * 2 * 16 * 2
    assert step_bytes(tied, 4, 100) == tied.weight_bytes + 4 * 100 * kv
    assert step_bytes(plain, 1, 0) == plain.weight_bytes - 509 * 64 * 2


@native
@pytest.mark.parametrize("threads", [1, 2])
def test_all_ways_of_reading_read_everything(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reading, "NUM_BYTES", 4 << 20)
    before, ticks = torch.get_num_threads(), iter(range(100))
    torch.set_num_threads(threads)
    try:
        reading = Reading(lambda: float(next(ticks)))
        assert reading.rates() == dict.fromkeys(("sum", "search", "product"), float(4 << 20))
        reading._floats.view(torch.uint8)[-1] = 7
        with pytest.raises(RuntimeError, match="not there"):
            reading.rates()
        reading.close()
    finally:
        torch.set_num_threads(before)


def test_a_scrape_tells_the_decode_members_steps() -> None:
    assert steps(SCRAPE) == Steps(12.0, 0.75, 0.25)
