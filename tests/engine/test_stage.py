"""The order of a device stage's calls of torch, over names that stand in for them; and that torch takes such calls.

What they do on a device it cannot show.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from common.engine.batch import Batcher
from common.engine.plan import Work
from common.engine.stage import CudaStage

DEVICE = torch.device("cuda", 1)


@dataclass(eq=False)
class FakeStream:
    device: torch.device
    priority: int = 0
    waited: list["FakeStream"] = field(default_factory=list)

    def wait_stream(self, other: "FakeStream") -> None:
        self.waited.append(other)


@dataclass(eq=False)
class FakeGraph:
    captured: list[FakeStream] = field(default_factory=list)

    def pool(self) -> tuple[int, int]:
        return (7, 7)

    def replay(self) -> None: ...


@dataclass
class FakeCuda:
    """Which stream is current, and what was captured where; `fails` makes every capture end as an invalid one does."""

    current: FakeStream = field(default_factory=lambda: FakeStream(DEVICE))
    captures: list[dict[str, Any]] = field(default_factory=list)
    synchronised: list[torch.device] = field(default_factory=list)
    fails: bool = False

    def set_stream(self, stream: FakeStream) -> None:
        self.current = stream

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextmanager
    def graph(self, graph: FakeGraph, **options: Any) -> Iterator[None]:
        before, self.current = self.current, options["stream"]
        self.captures.append(options)
        yield
        if self.fails:  # torch does not put the stream back then
            raise RuntimeError("operation failed due to a previous error during capture")
        self.current = before


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.cuda, "synchronize", fake.synchronised.append)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: fake.current)
    for name in ("set_stream", "stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(fake, name))
    return fake


def test_a_step_has_a_stream_that_no_queue_of_copies_gets(cuda: FakeCuda) -> None:
    CudaStage(DEVICE).enter()
    assert (cuda.current.device, cuda.current.priority) == (DEVICE, -1)
    assert cuda.synchronised == [DEVICE]


def test_captures_share_a_stream_and_a_pool_of_memory(cuda: FakeCuda) -> None:
    stage, ran = CudaStage(DEVICE), list[FakeStream]()
    stage.enter()
    own = cuda.current
    for _ in range(2):
        stage.capture(lambda: ran.append(cuda.current))
    [apart] = set(ran)
    assert len(ran) == 4, "each once outside of its capture"
    assert (apart.priority, apart is own, cuda.current is own) == (-1, False, True)
    assert apart.waited == [own, own]
    assert own.waited == [apart, apart]
    assert [options["pool"] for options in cuda.captures] == [None, (7, 7)]
    assert {options["capture_error_mode"] for options in cuda.captures} == {"thread_local"}


def test_a_capture_that_fails_leaves_the_thread_on_its_own_stream(cuda: FakeCuda) -> None:
    stage = CudaStage(DEVICE)
    stage.enter()
    own, cuda.fails = cuda.current, True
    with pytest.raises(RuntimeError, match="during capture"):
        stage.capture(lambda: None)
    assert cuda.current is own


def test_torch_takes_such_calls() -> None:
    graph = inspect.signature(torch.cuda.graph.__init__)
    graph.bind(None, None, pool=None, stream=None, capture_error_mode="thread_local")
    inspect.signature(torch.cuda.Stream.__new__).bind(None, DEVICE, priority=-1)
    inspect.signature(torch.cuda.Event.__new__).bind(None, blocking=True)
    assert torch.OutOfMemoryError is torch.cuda.OutOfMemoryError
    assert issubclass(torch.OutOfMemoryError, RuntimeError)
    assert issubclass(torch.AcceleratorError, RuntimeError)


def test_a_batch_goes_to_a_device_without_waiting_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[int] = []
    moved: list[bool] = []
    to = torch.Tensor.to

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor.data_ptr())
        return tensor

    def move(tensor: torch.Tensor, device: torch.device, *, non_blocking: bool = False) -> torch.Tensor:
        moved.append(non_blocking and tensor.data_ptr() in pinned)
        return to(tensor, device)

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", move)
    batch = Batcher(4, "meta").pack([Work(1, (5, 6, 7), 2, [3, 4])], 0)
    assert batch.token_ids.device.type == "meta"
    assert moved == [True] * 7
