"""What `baton bench` can be told. Frozen; resolved once, by `common/types/resolve.py`."""

from dataclasses import dataclass, field

from common.types.options import about

BENCH_TARGET = "127.0.0.1:50051"
APIS = ("completions", "chat")


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """Load on a running server, gRPC or OpenAI-compatible HTTP, and what it made of it."""

    target: str = field(
        default=BENCH_TARGET, metadata=about("HOST:PORT of a router (gRPC), or http://HOST:PORT", positional=True)
    )
    model_id: str = field(default="", metadata=about("which model; the server's first when empty", "NAME"))
    api: str = field(default="completions", metadata=about("HTTP: which endpoint", choices=APIS))
    api_key: str = field(default="", repr=False, metadata=about("sent as a bearer token", secret=True))
    rate: tuple[str, ...] = field(
        default=(), metadata=about("open loop: requests/s, each in turn; 1..8 rises, inf is all at once", "R,...")
    )
    burstiness: float = field(
        default=1.0, metadata=about("1 is Poisson; gamma with this shape, lower comes in bursts", "X", least=0.001)
    )
    concurrency: tuple[str, ...] = field(
        default=(), metadata=about("most requests at once, each in turn; closed loop without --rate", "N,...")
    )
    requests: int = field(default=0, metadata=about("requests per run; 100 when no duration is set", "N", least=0))
    duration_s: float = field(default=0.0, metadata=about("no request is begun after this long", "S", least=0))
    warm_up: int = field(default=2, metadata=about("requests before the first run, not counted", "N", least=0))
    input_tokens: str = field(
        default="512",
        metadata=about("N, uniform:A:B, normal:MEAN:SD, lognormal:MEDIAN:SIGMA, file:PATH", "LENGTHS"),
    )
    output_tokens: str = field(default="64", metadata=about("the same, for answers", "LENGTHS"))
    prefix_tokens: int = field(default=0, metadata=about("tokens before those, shared by many prompts", "N", least=0))
    prefixes: int = field(default=1, metadata=about("how many different shared beginnings", "N", least=1))
    trace: str = field(
        default="", metadata=about("arrivals and lengths from a file: Azure's csv or Mooncake's jsonl", "FILE")
    )
    time_scale: float = field(
        default=1.0, metadata=about("times the trace's pauses: 0.5 is twice as fast", "X", least=0)
    )
    clip_input: int = field(default=0, metadata=about("longer prompts are cut to this; 0 is never", "N", least=0))
    clip_output: int = field(default=0, metadata=about("longer answers are cut to this; 0 is never", "N", least=0))
    tokenizer: str = field(
        default="", metadata=about("folder with tokenizer.json: prompts are sent as text of exact lengths", "DIR")
    )
    vocab_size: int = field(default=0, metadata=about("random ids are below; 0 asks the server", "N", least=0))
    temperature: float = field(default=0.0, metadata=about("0 always takes the likeliest token", "X", least=0))
    ignore_eos: bool = field(default=True, metadata=about("answers have the length that was asked for"))
    goodput: tuple[str, ...] = field(
        default=(), metadata=about("limits in ms that a good request keeps: ttft:1000,tpot:60", "KEY:MS,...")
    )
    deadline_s: float = field(default=600.0, metadata=about("longest time for a request", "S", least=0.001))
    seed: int = field(default=0, metadata=about("same seed, same load", "N", least=0))
    label: str = field(default="", metadata=about("name of the run in results", "NAME"))
    texts: bool = field(default=False, metadata=about("keep the answers' text in the results"))
    json: str = field(default="", metadata=about("results, with the keys of vllm bench serve", "FILE"))
    report: str = field(default="", metadata=about("a page with plots that needs nothing else", "FILE.html"))
