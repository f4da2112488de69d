"""The one list of metrics: every name that a scrape of Baton may show, with its type, unit, labels and source.

Names are frozen: dashboards and alerts of others are built on them. A scrape that shows a name which is not listed here
is a bug, and so is a listed one that never appears. Knows nothing of how the figures come about.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How a series behaves between two scrapes."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Fed(Enum):
    """Whose figure it is; a router shows both, a worker's own endpoint only its own."""

    ROUTER = "router"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Metric:
    """One family of series. `unit` is empty for a plain count."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    help: str
    fed: Fed = Fed.ROUTER


LATENCY_BOUNDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    100,
    250,
)
"""Upper bounds of buckets of whole requests and their legs, in seconds."""
TOKEN_BOUNDS = (
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.0075,
    0.01,
    0.015,
    0.02,
    0.03,
    0.04,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    1,
    5,
)
"""Of the time between tokens, and of hand-offs."""

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_MEMBER = ("member", "role")
_MODEL = ("model_name",)


def _requests() -> Iterator[Metric]:
    yield Metric("baton_ready", _G, "", (), "1 while a request that comes now has somewhere to go")
    yield Metric("baton_members", _G, "", ("role", "state"), "Members by role; state is serving or draining")
    yield Metric("baton_requests_admitted_total", _C, "", (), "Requests that were admitted")
    yield Metric("baton_requests_refused_total", _C, "", ("reason",), "Requests that were refused before any work")
    yield Metric("baton_requests_ended_total", _C, "", ("outcome",), "Admitted ones: answered, failed, cancelled")
    yield Metric("baton_request_errors_total", _C, "", ("leg", "code"), "Errors told to clients, by leg and status")
    yield Metric("baton_requests_waiting", _G, "", (), "Admitted requests without a first token")
    yield Metric("baton_requests_running", _G, "", (), "Requests whose tokens stream")
    yield Metric("baton_queue_tokens", _G, "tokens", (), "Prompt tokens admitted and not yet prefilled")
    yield Metric("baton_held_tokens", _G, "tokens", (), "Tokens admitted requests hold or are expected to hold")
    yield Metric("baton_prompt_tokens_total", _C, "tokens", (), "Prompt tokens of admitted requests")
    yield Metric("baton_cached_tokens_total", _C, "tokens", (), "Prompt tokens that a prefix cache held already")
    yield Metric("baton_output_tokens_total", _C, "tokens", (), "Tokens delivered to clients")


def _times() -> Iterator[Metric]:
    yield Metric("baton_ttft_seconds", _H, "seconds", (), "From arrival to the first token")
    yield Metric("baton_itl_seconds", _H, "seconds", (), "Between two tokens of a request")
    yield Metric("baton_tpot_seconds", _H, "seconds", (), "Mean time per token after the first, one value a request")
    yield Metric("baton_e2e_seconds", _H, "seconds", (), "From arrival to the end of an answered request")
    yield Metric("baton_leg_seconds", _H, "seconds", ("leg",), "Split of it: queue, prefill, handoff, decode")


def _attempts() -> Iterator[Metric]:
    yield Metric("baton_attempts_total", _C, "", ("mode",), "Attempts: handoff, or local on a decode member")
    yield Metric("baton_local_attempts_total", _C, "", ("reason",), "Local ones: cheaper, relief, no_prefill, rule")
    yield Metric("baton_leg_failures_total", _C, "", ("leg", "cause"), "Legs of attempts that failed")
    yield Metric("baton_retries_total", _C, "", ("leg",), "Attempts made because a leg of an earlier one failed")
    yield Metric("baton_continuations_total", _C, "", (), "Retries that went on after tokens the client already had")
    yield Metric("baton_handoffs_total", _C, "", ("transport",), "Attempts that joined decode with fetched KV")
    yield Metric("baton_handoff_bytes_total", _C, "bytes", ("transport",), "KV fetched by attempts that joined")
    yield Metric("baton_handoff_copy_seconds", _H, "seconds", ("transport",), "Copying and verifying its blocks")
    yield Metric("baton_handoff_exposed_seconds", _H, "seconds", ("transport",), "From sealed to joined")


def _member(name: str, kind: Kind, unit: str, labels: tuple[str, ...], help: str) -> Metric:
    return Metric(f"baton_member_{name}", kind, unit, (*_MEMBER, *labels), help, Fed.MEMBER)


def _members() -> Iterator[Metric]:
    yield _member("blocks", _G, "blocks", ("state",), "KV blocks: free, cached, owned, sealed, quarantined")
    yield _member("oldest_block_seconds", _G, "seconds", ("state",), "Age of the longest cached or quarantined one")
    yield _member("sequences", _G, "", ("state",), "Sequences in the running batch, and attempts that wait for room")
    yield _member("backlog_tokens", _G, "tokens", (), "Prompt tokens not yet computed")
    yield _member("draining", _G, "", (), "1 while it takes nothing new")
    yield _member("recent_step_seconds", _G, "seconds", (), "Moving average of a step")
    yield _member("recent_prefill_tokens_per_second", _G, "tokens", (), "Moving average of prefill speed")
    yield _member("recent_fetch_bytes_per_second", _G, "bytes", (), "Moving average of hand-offs into it")
    yield _member("steps_total", _C, "", (), "Forward passes")
    yield _member("step_seconds_total", _C, "seconds", ("where",), "Time of steps: in kernels, or outside them")
    yield _member("prompt_tokens_total", _C, "tokens", (), "Prompt tokens computed")
    yield _member("output_tokens_total", _C, "tokens", (), "Tokens sampled")
    yield _member("prefix_queried_tokens_total", _C, "tokens", (), "Tokens looked up in its prefix cache")
    yield _member("prefix_hit_tokens_total", _C, "tokens", (), "Tokens found there")
    yield _member("preemptions_total", _C, "", (), "Sequences that gave their blocks back to wait again")
    yield _member("fetches_total", _C, "", ("transport",), "Copies of lent blocks into it that were verified")
    yield _member("fetch_bytes_total", _C, "bytes", ("transport",), "Bytes of them")
    yield _member("fetch_seconds_total", _C, "seconds", ("transport",), "Time of them")
    yield _member("fetch_failures_total", _C, "", ("cause",), "Copies that failed: checksum, or transport")
    yield _member("device_memory_bytes", _G, "bytes", ("what",), "Its GPU's memory: used by anybody, and total")
    yield _member("device_utilisation", _G, "", (), "Share of the last moments in which a kernel ran on its GPU")
    yield _member("device_errors_total", _C, "", (), "Its GPU's memory errors that could not be corrected")


def _aliases() -> Iterator[Metric]:
    """What dashboards, autoscalers and load tools of the field look for."""
    yield Metric("vllm:num_requests_running", _G, "", _MODEL, "As baton_requests_running")
    yield Metric("vllm:num_requests_waiting", _G, "", _MODEL, "As baton_requests_waiting")
    yield Metric("vllm:kv_cache_usage_perc", _G, "", _MODEL, "Share of the decode pool's blocks in use, 0 to 1")
    yield Metric("vllm:time_to_first_token_seconds", _H, "seconds", _MODEL, "As baton_ttft_seconds")
    yield Metric("vllm:inter_token_latency_seconds", _H, "seconds", _MODEL, "As baton_itl_seconds")
    yield Metric("vllm:time_per_output_token_seconds", _H, "seconds", _MODEL, "As baton_itl_seconds")
    yield Metric("vllm:request_time_per_output_token_seconds", _H, "seconds", _MODEL, "As baton_tpot_seconds")
    yield Metric("vllm:e2e_request_latency_seconds", _H, "seconds", _MODEL, "As baton_e2e_seconds")
    yield Metric("vllm:prompt_tokens_total", _C, "tokens", _MODEL, "As baton_prompt_tokens_total")
    yield Metric("vllm:generation_tokens_total", _C, "tokens", _MODEL, "As baton_output_tokens_total")
    yield Metric("vllm:prefix_cache_queries_total", _C, "tokens", _MODEL, "As baton_prompt_tokens_total")
    yield Metric("vllm:prefix_cache_hits_total", _C, "tokens", _MODEL, "As baton_cached_tokens_total")


METRICS: tuple[Metric, ...] = (*_requests(), *_times(), *_attempts(), *_members(), *_aliases())
BY_NAME = {metric.name: metric for metric in METRICS}
