"""What of a device's memory becomes the KV pool: arithmetic, and how to say it. Knows neither models nor torch."""

from dataclasses import dataclass

RESERVE_BYTES = 256 << 20
"""For what comes later and is small: windows of transports, libraries' workspaces, kernels loaded on first use."""


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """All measured, in bytes, once the weights are there and before the pool is.

    `activations` is what torch took beyond the weights for the largest steps there can be, `graphs` what the captured
    steps take. `free` is what the driver would still give.
    """

    total: int
    free: int
    weights: int
    activations: int
    graphs: int

    def room(self, share: float) -> int:
        """What is left for KV: of this worker's share, and of what is there at all."""
        later = self.activations + self.graphs + RESERVE_BYTES
        return max(0, min(int(self.total * share) - self.weights, self.free) - later)

    def describe(self, share: float) -> str:
        """One line for the operator, in which the numbers add up."""
        own = int(self.total * share) - self.weights
        start = (
            f"{share:.0%} of {_gib(self.total)} is {_gib(int(self.total * share))}, less weights {_gib(self.weights)}"
        )
        if self.free < own:
            start = f"{_gib(self.free)} of {_gib(self.total)} are free after weights of {_gib(self.weights)}"
        return (
            f"device memory: {start}, the largest step {_gib(self.activations)}, graphs {_gib(self.graphs)}, "
            f"reserve {_gib(RESERVE_BYTES)}: {_gib(self.room(share))} GiB are left for KV"
        )


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.2f}"
