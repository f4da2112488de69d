"""A device that is this process's own memory: what it captures it runs again, and it minds what no capture may do."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from common.engine.stage import Array


@dataclass
class FakeStage:
    """Counts what crosses; while it captures nothing may."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    num_uploads: int = 0
    num_downloads: int = 0
    num_waits: int = 0
    num_captures: int = 0
    num_replays: int = 0
    capturing: bool = False

    def enter(self) -> None:
        """Any thread will do."""

    def upload(self, array: Array) -> torch.Tensor:
        self._check_free()
        self.num_uploads += 1
        return torch.from_numpy(np.array(array, order="C"))

    def download(self, tensor: torch.Tensor) -> Callable[[], Array]:
        self._check_free()
        self.num_downloads += 1
        copied = tensor.clone()

        def wait() -> Array:
            self.num_waits += 1
            found: Array = copied.numpy()
            return found

        return wait

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        self.num_captures += 1
        step()
        self.capturing = True
        step()
        self.capturing = False

        def replay() -> None:
            self.num_replays += 1
            step()

        return replay

    def _check_free(self) -> None:
        assert not self.capturing, "a captured step must not cross to or from the host"
