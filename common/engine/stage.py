"""One device as the runner uses it: what goes up, what comes down, what is captured. Owns the engine thread's stream.

Nothing here waits for the device except the function that `download` returns. Knows nothing of models or plans.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[Any]


class Stage(Protocol):
    """Everything called on it happens in order. One thread uses it."""

    @property
    def device(self) -> torch.device: ...

    def enter(self) -> None:
        """The calling thread works on this device from now on."""
        ...

    def upload(self, array: Array) -> torch.Tensor:
        """A copy on the device, there before whatever is launched next; the array may change at once."""
        ...

    def download(self, tensor: torch.Tensor) -> Callable[[], Array]:
        """Starts a copy to the host; the function waits for it, and so for everything launched before it."""
        ...

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        """What `step` launches, as one thing to launch again: same kernels, same addresses."""
        ...


# Torch has 32 streams of a priority and hands them out in turn, then the same again. Queues of copies come and go with
# connections and take those of the usual priority: a step shares no stream with them, and goes before them.
_FIRST = -1


class CudaStage:
    """A CUDA device. Graphs share one pool of memory: only one of them runs at a time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pool: Any = None  # torch's name for it
        self._apart: Any = None  # the stream of captures, one for all: memory that one has freed serves the next

    def enter(self) -> None:
        torch.cuda.set_device(self.device)
        # what loading launched on the default stream is done before this thread's own stream begins
        torch.cuda.synchronize(self.device)
        self._apart = torch.cuda.Stream(self.device, priority=_FIRST)  # type: ignore[no-untyped-call]
        torch.cuda.set_stream(torch.cuda.Stream(self.device, priority=_FIRST))  # type: ignore[no-untyped-call]

    def upload(self, array: Array) -> torch.Tensor:
        # torch keeps page-locked memory back until the copy that reads it is done
        return torch.from_numpy(np.ascontiguousarray(array)).pin_memory().to(self.device, non_blocking=True)

    def download(self, tensor: torch.Tensor) -> Callable[[], Array]:
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        host.copy_(tensor, non_blocking=True)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record()

        def wait() -> Array:
            copied.synchronize()
            found: Array = host.numpy()
            return found

        return wait

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        own, apart = torch.cuda.current_stream(self.device), self._apart
        apart.wait_stream(own)
        with torch.cuda.stream(apart):
            step()  # kernels are compiled and libraries find their workspaces outside of the capture
        own.wait_stream(apart)
        graph = torch.cuda.CUDAGraph()
        try:
            # other threads of a worker may be copying meanwhile: their calls are none of this capture's business
            with torch.cuda.graph(graph, pool=self._pool, stream=apart, capture_error_mode="thread_local"):
                step()
        finally:
            torch.cuda.set_stream(own)  # where a capture fails, torch leaves its stream the current one
        self._pool = graph.pool()
        return graph.replay


def copy_blocks(pool: torch.Tensor, copies: Sequence[tuple[int, int]], upload: Callable[[Array], torch.Tensor]) -> None:
    """(source, target) blocks; no block is a target twice, nor a source and a target."""
    if copies:
        sources, targets = upload(np.array(copies, dtype=np.int64).T)
        pool.index_copy_(0, targets, pool.index_select(0, sources))
