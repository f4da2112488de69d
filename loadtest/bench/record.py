"""What was seen of one request, in seconds of one clock. Filled by a target, read by everything after it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Planned:
    """A request to send `at_s` seconds after the run began; a closed loop sends it when there is room."""

    number: int
    at_s: float
    prompt: tuple[int, ...] | str
    num_input: int
    num_output: int


@dataclass(slots=True)
class Record:
    """`arrivals` has the time of every message that brought tokens: several of them in one message arrive at once.

    `num_output` is what the server says it made, or what was counted. `error` is a short kind, empty when all is well.
    """

    planned_s: float
    num_input: int
    start_s: float = 0.0
    end_s: float = 0.0
    arrivals: list[float] = field(default_factory=list)
    num_output: int = 0
    error: str = ""
    text: str = ""

    @property
    def ok(self) -> bool:
        return not self.error and bool(self.arrivals)

    @property
    def ttft_s(self) -> float:
        return self.arrivals[0] - self.start_s

    @property
    def latency_s(self) -> float:
        """From sending to the last token."""
        return self.arrivals[-1] - self.start_s

    @property
    def itls_s(self) -> list[float]:
        """Between messages that brought tokens."""
        return [later - earlier for earlier, later in zip(self.arrivals, self.arrivals[1:], strict=False)]

    @property
    def tpot_s(self) -> float | None:
        """Per token after the first; none when there was only one."""
        return (self.latency_s - self.ttft_s) / (self.num_output - 1) if self.num_output > 1 else None

    @property
    def queue_s(self) -> float:
        """How long after its time it was sent: this client's own delay."""
        return max(0.0, self.start_s - self.planned_s)
