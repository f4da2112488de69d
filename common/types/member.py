"""What workers tell routers of themselves."""

from dataclasses import dataclass

from common.types.ids import Role


@dataclass(frozen=True, slots=True)
class Hello:
    """Who a worker is; fixed for the life of its process (`epoch`)."""

    member: str
    role: Role
    address: str
    epoch: int
    model: str
    model_fingerprint: str
    layout: str
    protocol: int
    block_tokens: int
    block_bytes: int
    num_blocks: int
    max_sequences: int
    max_model_tokens: int
    transports: tuple[str, ...]
    cache_key_id: str


@dataclass(frozen=True, slots=True)
class StepTotals:
    """What an engine has done since it started. `kernel_s` and `other_s` together are the time of its steps."""

    num_steps: int = 0
    kernel_s: float = 0.0
    other_s: float = 0.0
    num_prompt_tokens: int = 0
    num_output_tokens: int = 0
    num_queried_tokens: int = 0
    num_hit_tokens: int = 0
    num_preempted: int = 0


@dataclass(frozen=True, slots=True)
class Carried:
    """What one transport has brought into a worker since it started, verified."""

    transport: str
    num_fetches: int = 0
    num_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FetchTotals:
    """All copies into a worker since it started, and those that failed."""

    carried: tuple[Carried, ...] = ()
    num_checksum_failures: int = 0
    num_transport_failures: int = 0


@dataclass(frozen=True, slots=True)
class DeviceLoad:
    """The device a worker computes on, whoever uses it. `utilisation` is a share of the last moments."""

    used_bytes: int
    total_bytes: int
    utilisation: float = 0.0
    num_uncorrected_errors: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a worker is, at every heartbeat. Hash lists are deltas since the last report, 8 bytes a hash."""

    sequence: int = 0
    num_free_blocks: int = 0
    num_cached_blocks: int = 0
    num_quarantined_blocks: int = 0
    num_running: int = 0
    num_waiting: int = 0
    backlog_tokens: int = 0
    prefill_tokens_per_s: float = 0.0
    step_ms: float = 0.0
    fetch_bytes_per_s: float = 0.0
    added_hashes: tuple[int, ...] = ()
    removed_hashes: tuple[int, ...] = ()
    drained: bool = False
    draining: bool = False
    num_owned_blocks: int = 0
    num_sealed_blocks: int = 0
    oldest_cached_s: float = 0.0
    oldest_quarantined_s: float = 0.0
    steps: StepTotals = StepTotals()
    fetches: FetchTotals = FetchTotals()
    device: DeviceLoad | None = None
