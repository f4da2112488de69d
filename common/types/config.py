"""What the processes of a deployment can be told. Frozen; resolved once, by `common/types/resolve.py`.

Owns names, defaults and one line of help per setting. Each is a flag, a BATON_* variable and a TOML key of one name.
"""

from dataclasses import dataclass, field

from common.types.access import Access
from common.types.config_bench import BenchConfig
from common.types.config_keys import KeysConfig
from common.types.config_top import TopConfig
from common.types.http import HttpLimits
from common.types.options import about
from common.types.timeouts import TPOT_GOAL_MS, TTFT_GOAL_MS, Timeouts

GRPC = "127.0.0.1:50051"
FLEET = "127.0.0.1:50052"
HTTP = "127.0.0.1:8000"
DTYPES = ("auto", "float32", "bfloat16", "float16")
KV_DTYPES = (*DTYPES, "fp8")
DEVICE_SHARE = 0.9  # of a device's memory: the driver and others keep some
HOST_TRANSPORTS = ("shm", "tcp")
TRANSPORTS = ("cuda_ipc", *HOST_TRANSPORTS)
ALL_TRANSPORTS = (*TRANSPORTS, "nccl")
LOG_FORMATS = ("text", "json")
MODES = ("auto", "handoff", "local")


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """The router: where clients and workers find it, and what it admits."""

    model: str = field(metadata=about("folder of the model whose tokenizer it uses", "DIR"))
    model_id: str = field(default="", metadata=about("name clients ask for; the folder's name when empty", "NAME"))
    grpc: str = field(default=GRPC, metadata=about("where clients connect", "HOST:PORT", address=True))
    http: str = field(default=HTTP, metadata=about("where OpenAI clients connect", "HOST:PORT", address=True))
    fleet: str = field(
        default=FLEET, metadata=about("where workers join and operators steer", "HOST:PORT", address=True)
    )
    expose: bool = field(default=False, metadata=about("allow addresses that others reach where nothing is encrypted"))
    max_requests: int = field(default=1024, metadata=about("most requests at once", "N", least=1))
    max_queue_tokens: int = field(
        default=262144, metadata=about("most prompt tokens admitted but not yet prefilled", "N", least=1)
    )
    max_prompt_tokens: int = field(default=0, metadata=about("longest prompt; 0 is what the model holds", "N", least=0))
    max_output_tokens: int = field(default=0, metadata=about("longest answer; 0 is what the model holds", "N", least=0))
    max_choices: int = field(default=8, metadata=about("most answers to one prompt (n)", "N", least=1))
    max_stop_strings: int = field(default=16, metadata=about("most stop strings of a request", "N", least=0))
    max_stop_chars: int = field(default=256, metadata=about("longest stop string, in characters", "N", least=1))
    max_logprobs: int = field(default=20, metadata=about("most alternatives reported per token", "N", least=0))
    mode: str = field(default="auto", metadata=about("who computes prompts; auto weighs it up", choices=MODES))
    max_attempts: int = field(default=3, metadata=about("tries at a request before it fails", "N", least=1))
    retry_share: float = field(default=0.1, metadata=about("retries may be this share of the requests", "X", least=0))
    default_deadline_s: float = field(
        default=600.0, metadata=about("time for a request whose client sets no deadline", "S", least=0.001)
    )
    cache_key: str = field(
        default="", repr=False, metadata=about("key of the prefix hashes, the same in the whole fleet", secret=True)
    )
    log_format: str = field(default="text", metadata=about("of the log", choices=LOG_FORMATS))
    timeouts: Timeouts = field(
        default=Timeouts(), metadata=about("time-outs and goals; -s are seconds, -ms milliseconds")
    )
    http_limits: HttpLimits = field(default=HttpLimits(), metadata=about("limits of the HTTP front"))
    access: Access = field(default=Access(), metadata=about("who may come in; docs/security.md says how"))


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """A prefill or decode worker: what it serves, with what, and whom it joins."""

    model: str = field(metadata=about("folder with config.json, *.safetensors, tokenizer.json", "DIR"))
    model_id: str = field(default="", metadata=about("name clients ask for; the folder's name when empty", "NAME"))
    routers: tuple[str, ...] = field(default=(FLEET,), metadata=about("routers to join", "HOST:PORT,...", address=True))
    listen: str = field(
        default="127.0.0.1:0", metadata=about("where to listen; port 0 takes a free one", "HOST:PORT", address=True)
    )
    advertise: str = field(
        default="", metadata=about("address others use; the one it listens on when empty", "HOST:PORT", address=True)
    )
    expose: bool = field(default=False, metadata=about("allow addresses that others reach where nothing is encrypted"))
    fleet_tls: str = field(default="", metadata=about("folder of the fleet's certificates", "DIR"))
    metrics: str = field(
        default="", metadata=about("where to serve this worker's own metrics, if at all", "HOST:PORT", address=True)
    )
    name: str = field(default="", metadata=about("unique in the fleet; role and process when empty", "NAME"))
    device: str = field(default="cpu", metadata=about("where to compute; cuda is cuda:0", "cpu|cuda[:N]", device=True))
    device_share: float = field(
        default=DEVICE_SHARE,
        metadata=about("of a device's memory, the part this worker may use", "X", least=0.01, most=1),
    )
    dtype: str = field(default="auto", metadata=about("of the weights", "TYPE", choices=DTYPES))
    kv_dtype: str = field(default="auto", metadata=about("of KV, on a GPU", "TYPE", choices=KV_DTYPES))
    kv_memory: int = field(default=0, metadata=about("memory for KV blocks, such as 2GiB, or auto", size=True))
    num_blocks: int = field(default=0, metadata=about("KV blocks; 0 is what fits kv-memory", "N", least=0))
    block_tokens: int = field(default=16, metadata=about("tokens a KV block holds", "N", least=1))
    max_sequences: int = field(default=64, metadata=about("most sequences in one step", "N", least=1))
    token_budget: int = field(default=512, metadata=about("most tokens in one step", "N", least=1))
    max_model_tokens: int = field(default=0, metadata=about("longest sequence; 0 is the model's own", "N", least=0))
    threads: int = field(default=0, metadata=about("threads that compute; 0 is one per core it may use", "N", least=0))
    cores: str = field(default="", metadata=about("cores to compute on, such as 0,1 or 0-3; all when empty", "LIST"))
    loop_cores: str = field(default="", metadata=about("cores for all that does not compute; all when empty", "LIST"))
    nice: int = field(
        default=0,
        metadata=about("how far computing steps back on its cores, 20 behind all others", "N", least=0, most=20),
    )
    cache_key: str = field(
        default="", repr=False, metadata=about("key of the prefix hashes, the same in the whole fleet", secret=True)
    )
    transports: tuple[str, ...] = field(
        default=TRANSPORTS, metadata=about("ways KV may travel", "NAME,...", choices=ALL_TRANSPORTS)
    )
    runtime_dir: str = field(
        default="", metadata=about("folder for sockets between processes of a host, shared by its containers", "DIR")
    )
    log_format: str = field(default="text", metadata=about("of the log", choices=LOG_FORMATS))
    timeouts: Timeouts = field(
        default=Timeouts(), metadata=about("time-outs and goals; -s are seconds, -ms milliseconds")
    )


@dataclass(frozen=True, slots=True)
class UpConfig:
    """A router and its workers on this machine."""

    model: str = field(default="", metadata=about("folder of the model; the demo model when empty", "DIR"))
    model_id: str = field(default="", metadata=about("name clients ask for; the folder's name when empty", "NAME"))
    prefill: int = field(default=1, metadata=about("prefill workers", "N", least=1))
    decode: int = field(default=1, metadata=about("decode workers", "N", least=1))
    grpc: str = field(default=GRPC, metadata=about("where clients connect", "HOST:PORT", address=True))
    http: str = field(default=HTTP, metadata=about("where OpenAI clients connect", "HOST:PORT", address=True))
    fleet: str = field(
        default=FLEET, metadata=about("where workers join and operators steer", "HOST:PORT", address=True)
    )
    expose: bool = field(default=False, metadata=about("allow addresses that others reach where nothing is encrypted"))
    keys: str = field(default="", metadata=about("clients' keys, or off; one is made when strangers can call", "FILE"))
    tls_cert: str = field(default="", metadata=about("certificate and chain shown to clients", "FILE"))
    tls_key: str = field(default="", metadata=about("its private key", "FILE"))
    tls_client_ca: str = field(default="", metadata=about("clients must show a certificate of this authority", "FILE"))
    fleet_tls: str = field(default="", metadata=about("folder of the fleet's certificates", "DIR"))
    devices: tuple[str, ...] = field(
        default=("cpu",), metadata=about("where to compute; workers take them in turn", "cpu|cuda[:N],...", device=True)
    )
    dtype: str = field(default="auto", metadata=about("of the weights", "TYPE", choices=DTYPES))
    kv_dtype: str = field(default="auto", metadata=about("of KV, on a GPU", "TYPE", choices=KV_DTYPES))
    kv_memory: int = field(default=0, metadata=about("memory for KV blocks of each worker, such as 2GiB", size=True))
    threads: int = field(default=0, metadata=about("threads of each worker; 0 shares the cores out", "N", least=0))
    pin: bool = field(default=True, metadata=about("each worker gets cores of its own if they suffice"))
    ttft_goal_ms: float = field(
        default=TTFT_GOAL_MS, metadata=about("wanted time to the first token; 0 is none", "MS", least=0)
    )
    tpot_goal_ms: float = field(
        default=TPOT_GOAL_MS, metadata=about("wanted time between tokens; 0 is none", "MS", least=0)
    )
    cache_key: str = field(
        default="", repr=False, metadata=about("key of the prefix hashes; a fresh one when empty", secret=True)
    )
    log_format: str = field(default="text", metadata=about("of the log", choices=LOG_FORMATS))
    drain_s: float = field(default=30.0, metadata=about("how long running requests may take to end", "S", least=0))


@dataclass(frozen=True, slots=True)
class AskConfig:
    """What to ask of a running router, and how to answer (generate and chat)."""

    prompt: str = field(
        default="", metadata=about("the text to go on from; read from stdin when absent", positional=True)
    )
    grpc: str = field(default=GRPC, metadata=about("the router", "HOST:PORT", address=True))
    api_key: str = field(default="", repr=False, metadata=about("a key, where the router takes one", secret=True))
    tls_ca: str = field(default="", metadata=about("authority of the router's certificate, or system", "FILE"))
    model_id: str = field(default="", metadata=about("which model; may be empty when one is served", "NAME"))
    max_tokens: int = field(default=128, metadata=about("longest answer", "N", least=1))
    temperature: float = field(default=0.7, metadata=about("0 always takes the likeliest token", "X", least=0))
    top_k: int = field(default=0, metadata=about("choose among the K likeliest; 0 is all", "K", least=0))
    top_p: float = field(default=1.0, metadata=about("choose among the likeliest that make up P", "P", least=0))
    seed: int = field(default=-1, metadata=about("same seed, same answer; -1 is a random one", "N", least=-1))
    stop: tuple[str, ...] = field(default=(), metadata=about("texts that end the answer", "TEXT,..."))
    json_object: bool = field(default=False, metadata=about("the answer is a JSON object"))
    json_schema: str = field(default="", metadata=about("the answer is JSON of this schema", "JSON|@FILE"))
    regex: str = field(default="", metadata=about("the answer matches this, from end to end", "TEXT"))
    grammar: str = field(default="", metadata=about("the answer follows this grammar (Lark or GBNF)", "TEXT|@FILE"))
    choice: tuple[str, ...] = field(default=(), metadata=about("the answer is one of these", "TEXT,..."))
    system: str = field(default="", metadata=about("chat: the system message", "TEXT"))
    deadline_s: float = field(default=600.0, metadata=about("longest time to wait", "S", least=0.001))
    explain: bool = field(default=False, metadata=about("say why the route was chosen"))


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """The members of a running fleet: list them, drain one, or let it work again."""

    action: str = field(
        default="list",
        metadata=about("what to do", choices=("list", "drain", "resume"), positional=True),
    )
    member: str = field(default="", metadata=about("which member, for drain and resume", positional=True))
    fleet: str = field(default=FLEET, metadata=about("the router's fleet address", "HOST:PORT", address=True))
    api_key: str = field(
        default="", repr=False, metadata=about("an admin key, where the router takes one", secret=True)
    )
    fleet_tls: str = field(default="", metadata=about("folder with an operator's certificate", "DIR"))
    leave: bool = field(default=False, metadata=about("drain: the member ends once it holds nothing"))
    deadline_s: float = field(default=10.0, metadata=about("longest time to wait", "S", least=0.001))


@dataclass(frozen=True, slots=True)
class DoctorConfig:
    """What this machine has, what of it Baton can use, and what to do about the rest."""

    probe_size: int = field(default=64 << 20, metadata=about("how much to copy when measuring a transport", size=True))
    fleet: str = field(
        default="", metadata=about("a router whose prefill members to measure from here", "HOST:PORT", address=True)
    )
    api_key: str = field(
        default="", repr=False, metadata=about("an admin key, where the router takes one", secret=True)
    )
    cache_key: str = field(
        default="", repr=False, metadata=about("the fleet's key, where workers ask for it", secret=True)
    )
    fleet_tls: str = field(default="", metadata=about("folder with an operator's and a decode certificate", "DIR"))


CONFIGS: tuple[type, ...] = (
    RouterConfig,
    WorkerConfig,
    UpConfig,
    AskConfig,
    PoolConfig,
    KeysConfig,
    TopConfig,
    DoctorConfig,
    BenchConfig,
)
