from baton.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JoinRequest(_message.Message):
    __slots__ = ("hello", "load")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    load: Load
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., load: _Optional[_Union[Load, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("member", "role", "address", "epoch", "model", "model_fingerprint", "layout_fingerprint", "protocol", "block_tokens", "block_bytes", "num_blocks", "max_sequences", "max_model_tokens", "transports", "cache_key_id")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    BLOCK_TOKENS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_BYTES_FIELD_NUMBER: _ClassVar[int]
    NUM_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    MAX_SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    MAX_MODEL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TRANSPORTS_FIELD_NUMBER: _ClassVar[int]
    CACHE_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    member: str
    role: _types_pb2.Role
    address: str
    epoch: int
    model: str
    model_fingerprint: str
    layout_fingerprint: str
    protocol: int
    block_tokens: int
    block_bytes: int
    num_blocks: int
    max_sequences: int
    max_model_tokens: int
    transports: _containers.RepeatedScalarFieldContainer[str]
    cache_key_id: str
    def __init__(self, member: _Optional[str] = ..., role: _Optional[_Union[_types_pb2.Role, str]] = ..., address: _Optional[str] = ..., epoch: _Optional[int] = ..., model: _Optional[str] = ..., model_fingerprint: _Optional[str] = ..., layout_fingerprint: _Optional[str] = ..., protocol: _Optional[int] = ..., block_tokens: _Optional[int] = ..., block_bytes: _Optional[int] = ..., num_blocks: _Optional[int] = ..., max_sequences: _Optional[int] = ..., max_model_tokens: _Optional[int] = ..., transports: _Optional[_Iterable[str]] = ..., cache_key_id: _Optional[str] = ...) -> None: ...

class Load(_message.Message):
    __slots__ = ("sequence", "num_free_blocks", "num_cached_blocks", "num_quarantined_blocks", "num_running", "num_waiting", "backlog_tokens", "prefill_tokens_per_s", "step_ms", "fetch_bytes_per_s", "added_hashes", "removed_hashes", "drained", "draining", "num_owned_blocks", "num_sealed_blocks", "oldest_cached_s", "oldest_quarantined_s", "steps", "fetches", "device")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NUM_FREE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    NUM_CACHED_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    NUM_QUARANTINED_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    NUM_RUNNING_FIELD_NUMBER: _ClassVar[int]
    NUM_WAITING_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PREFILL_TOKENS_PER_S_FIELD_NUMBER: _ClassVar[int]
    STEP_MS_FIELD_NUMBER: _ClassVar[int]
    FETCH_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    ADDED_HASHES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_HASHES_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    NUM_OWNED_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    NUM_SEALED_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    OLDEST_CACHED_S_FIELD_NUMBER: _ClassVar[int]
    OLDEST_QUARANTINED_S_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    FETCHES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    num_free_blocks: int
    num_cached_blocks: int
    num_quarantined_blocks: int
    num_running: int
    num_waiting: int
    backlog_tokens: int
    prefill_tokens_per_s: float
    step_ms: float
    fetch_bytes_per_s: float
    added_hashes: _containers.RepeatedScalarFieldContainer[int]
    removed_hashes: _containers.RepeatedScalarFieldContainer[int]
    drained: bool
    draining: bool
    num_owned_blocks: int
    num_sealed_blocks: int
    oldest_cached_s: float
    oldest_quarantined_s: float
    steps: StepTotals
    fetches: FetchTotals
    device: DeviceLoad
    def __init__(self, sequence: _Optional[int] = ..., num_free_blocks: _Optional[int] = ..., num_cached_blocks: _Optional[int] = ..., num_quarantined_blocks: _Optional[int] = ..., num_running: _Optional[int] = ..., num_waiting: _Optional[int] = ..., backlog_tokens: _Optional[int] = ..., prefill_tokens_per_s: _Optional[float] = ..., step_ms: _Optional[float] = ..., fetch_bytes_per_s: _Optional[float] = ..., added_hashes: _Optional[_Iterable[int]] = ..., removed_hashes: _Optional[_Iterable[int]] = ..., drained: _Optional[bool] = ..., draining: _Optional[bool] = ..., num_owned_blocks: _Optional[int] = ..., num_sealed_blocks: _Optional[int] = ..., oldest_cached_s: _Optional[float] = ..., oldest_quarantined_s: _Optional[float] = ..., steps: _Optional[_Union[StepTotals, _Mapping]] = ..., fetches: _Optional[_Union[FetchTotals, _Mapping]] = ..., device: _Optional[_Union[DeviceLoad, _Mapping]] = ...) -> None: ...

class DeviceLoad(_message.Message):
    __slots__ = ("used_bytes", "total_bytes", "utilisation", "num_uncorrected_errors")
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    UTILISATION_FIELD_NUMBER: _ClassVar[int]
    NUM_UNCORRECTED_ERRORS_FIELD_NUMBER: _ClassVar[int]
    used_bytes: int
    total_bytes: int
    utilisation: float
    num_uncorrected_errors: int
    def __init__(self, used_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ..., utilisation: _Optional[float] = ..., num_uncorrected_errors: _Optional[int] = ...) -> None: ...

class StepTotals(_message.Message):
    __slots__ = ("num_steps", "kernel_s", "other_s", "num_prompt_tokens", "num_output_tokens", "num_queried_tokens", "num_hit_tokens", "num_preempted")
    NUM_STEPS_FIELD_NUMBER: _ClassVar[int]
    KERNEL_S_FIELD_NUMBER: _ClassVar[int]
    OTHER_S_FIELD_NUMBER: _ClassVar[int]
    NUM_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NUM_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NUM_QUERIED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NUM_HIT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NUM_PREEMPTED_FIELD_NUMBER: _ClassVar[int]
    num_steps: int
    kernel_s: float
    other_s: float
    num_prompt_tokens: int
    num_output_tokens: int
    num_queried_tokens: int
    num_hit_tokens: int
    num_preempted: int
    def __init__(self, num_steps: _Optional[int] = ..., kernel_s: _Optional[float] = ..., other_s: _Optional[float] = ..., num_prompt_tokens: _Optional[int] = ..., num_output_tokens: _Optional[int] = ..., num_queried_tokens: _Optional[int] = ..., num_hit_tokens: _Optional[int] = ..., num_preempted: _Optional[int] = ...) -> None: ...

class Carried(_message.Message):
    __slots__ = ("transport", "num_fetches", "num_bytes", "seconds")
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    NUM_FETCHES_FIELD_NUMBER: _ClassVar[int]
    NUM_BYTES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    transport: str
    num_fetches: int
    num_bytes: int
    seconds: float
    def __init__(self, transport: _Optional[str] = ..., num_fetches: _Optional[int] = ..., num_bytes: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class FetchTotals(_message.Message):
    __slots__ = ("carried", "num_checksum_failures", "num_transport_failures")
    CARRIED_FIELD_NUMBER: _ClassVar[int]
    NUM_CHECKSUM_FAILURES_FIELD_NUMBER: _ClassVar[int]
    NUM_TRANSPORT_FAILURES_FIELD_NUMBER: _ClassVar[int]
    carried: _containers.RepeatedCompositeFieldContainer[Carried]
    num_checksum_failures: int
    num_transport_failures: int
    def __init__(self, carried: _Optional[_Iterable[_Union[Carried, _Mapping]]] = ..., num_checksum_failures: _Optional[int] = ..., num_transport_failures: _Optional[int] = ...) -> None: ...

class JoinResponse(_message.Message):
    __slots__ = ("welcome", "beat", "drain", "resume")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    beat: Beat
    drain: DrainCommand
    resume: ResumeCommand
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., beat: _Optional[_Union[Beat, _Mapping]] = ..., drain: _Optional[_Union[DrainCommand, _Mapping]] = ..., resume: _Optional[_Union[ResumeCommand, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("router_epoch", "heartbeat_ms")
    ROUTER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    router_epoch: int
    heartbeat_ms: int
    def __init__(self, router_epoch: _Optional[int] = ..., heartbeat_ms: _Optional[int] = ...) -> None: ...

class Beat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainCommand(_message.Message):
    __slots__ = ("leave",)
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    leave: bool
    def __init__(self, leave: _Optional[bool] = ...) -> None: ...

class ResumeCommand(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListMembersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListMembersResponse(_message.Message):
    __slots__ = ("members",)
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    def __init__(self, members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("hello", "load", "draining", "silence_ms", "num_attempts", "num_hashes")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    SILENCE_MS_FIELD_NUMBER: _ClassVar[int]
    NUM_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NUM_HASHES_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    load: Load
    draining: bool
    silence_ms: int
    num_attempts: int
    num_hashes: int
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., load: _Optional[_Union[Load, _Mapping]] = ..., draining: _Optional[bool] = ..., silence_ms: _Optional[int] = ..., num_attempts: _Optional[int] = ..., num_hashes: _Optional[int] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ("member", "leave")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    member: str
    leave: bool
    def __init__(self, member: _Optional[str] = ..., leave: _Optional[bool] = ...) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("member",)
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    member: str
    def __init__(self, member: _Optional[str] = ...) -> None: ...

class ResumeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
