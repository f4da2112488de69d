"""One member's figures as samples: the same from a router's scrape and from the worker's own endpoint."""

from collections.abc import Iterator

from common.obs.exposition import Sample
from common.types.ids import Role
from common.types.member import Load


def member_samples(member: str, role: Role, load: Load, *, draining: bool) -> Iterator[Sample]:
    """From its last report."""

    def sample(name: str, value: float, *labels: str) -> Sample:
        return Sample(f"baton_member_{name}", value, (member, role.value, *labels))

    steps, fetches = load.steps, load.fetches
    yield sample("blocks", load.num_free_blocks, "free")
    yield sample("blocks", load.num_cached_blocks, "cached")
    yield sample("blocks", load.num_owned_blocks, "owned")
    yield sample("blocks", load.num_sealed_blocks, "sealed")
    yield sample("blocks", load.num_quarantined_blocks, "quarantined")
    yield sample("oldest_block_seconds", load.oldest_cached_s, "cached")
    yield sample("oldest_block_seconds", load.oldest_quarantined_s, "quarantined")
    yield sample("sequences", load.num_running, "running")
    yield sample("sequences", load.num_waiting, "waiting")
    yield sample("backlog_tokens", load.backlog_tokens)
    yield sample("draining", draining)
    yield sample("recent_step_seconds", load.step_ms / 1000)
    yield sample("recent_prefill_tokens_per_second", load.prefill_tokens_per_s)
    yield sample("recent_fetch_bytes_per_second", load.fetch_bytes_per_s)
    yield sample("steps_total", steps.num_steps)
    yield sample("step_seconds_total", steps.kernel_s, "kernels")
    yield sample("step_seconds_total", steps.other_s, "outside")
    yield sample("prompt_tokens_total", steps.num_prompt_tokens)
    yield sample("output_tokens_total", steps.num_output_tokens)
    yield sample("prefix_queried_tokens_total", steps.num_queried_tokens)
    yield sample("prefix_hit_tokens_total", steps.num_hit_tokens)
    yield sample("preemptions_total", steps.num_preempted)
    for carried in fetches.carried:
        yield sample("fetches_total", carried.num_fetches, carried.transport)
        yield sample("fetch_bytes_total", carried.num_bytes, carried.transport)
        yield sample("fetch_seconds_total", carried.seconds, carried.transport)
    yield sample("fetch_failures_total", fetches.num_checksum_failures, "checksum")
    yield sample("fetch_failures_total", fetches.num_transport_failures, "transport")
    if load.device is not None:
        yield sample("device_memory_bytes", load.device.used_bytes, "used")
        yield sample("device_memory_bytes", load.device.total_bytes, "total")
        yield sample("device_utilisation", load.device.utilisation)
        yield sample("device_errors_total", load.device.num_uncorrected_errors)
