from baton.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FailureKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_KIND_UNSPECIFIED: _ClassVar[FailureKind]
    FAILURE_KIND_SOURCE_LOST: _ClassVar[FailureKind]
    FAILURE_KIND_TOO_LARGE: _ClassVar[FailureKind]
    FAILURE_KIND_DEADLINE: _ClassVar[FailureKind]
    FAILURE_KIND_STALE: _ClassVar[FailureKind]
    FAILURE_KIND_DRAINING: _ClassVar[FailureKind]
    FAILURE_KIND_TIMEOUT: _ClassVar[FailureKind]
    FAILURE_KIND_INTERNAL: _ClassVar[FailureKind]
    FAILURE_KIND_CONSTRAINT: _ClassVar[FailureKind]
FAILURE_KIND_UNSPECIFIED: FailureKind
FAILURE_KIND_SOURCE_LOST: FailureKind
FAILURE_KIND_TOO_LARGE: FailureKind
FAILURE_KIND_DEADLINE: FailureKind
FAILURE_KIND_STALE: FailureKind
FAILURE_KIND_DRAINING: FailureKind
FAILURE_KIND_TIMEOUT: FailureKind
FAILURE_KIND_INTERNAL: FailureKind
FAILURE_KIND_CONSTRAINT: FailureKind

class SessionRequest(_message.Message):
    __slots__ = ("open", "attach", "cancel", "credit", "meet")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    MEET_FIELD_NUMBER: _ClassVar[int]
    open: SessionOpen
    attach: Attach
    cancel: Cancel
    credit: Credit
    meet: Meet
    def __init__(self, open: _Optional[_Union[SessionOpen, _Mapping]] = ..., attach: _Optional[_Union[Attach, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., meet: _Optional[_Union[Meet, _Mapping]] = ...) -> None: ...

class SessionOpen(_message.Message):
    __slots__ = ("router_epoch", "epoch", "num_frames")
    ROUTER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NUM_FRAMES_FIELD_NUMBER: _ClassVar[int]
    router_epoch: int
    epoch: int
    num_frames: int
    def __init__(self, router_epoch: _Optional[int] = ..., epoch: _Optional[int] = ..., num_frames: _Optional[int] = ...) -> None: ...

class Attach(_message.Message):
    __slots__ = ("stream", "attempt", "remaining_ms", "source")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    stream: int
    attempt: _types_pb2.Attempt
    remaining_ms: int
    source: Source
    def __init__(self, stream: _Optional[int] = ..., attempt: _Optional[_Union[_types_pb2.Attempt, _Mapping]] = ..., remaining_ms: _Optional[int] = ..., source: _Optional[_Union[Source, _Mapping]] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("address", "epoch", "member")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    address: str
    epoch: int
    member: str
    def __init__(self, address: _Optional[str] = ..., epoch: _Optional[int] = ..., member: _Optional[str] = ...) -> None: ...

class Meet(_message.Message):
    __slots__ = ("sources",)
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedCompositeFieldContainer[Source]
    def __init__(self, sources: _Optional[_Iterable[_Union[Source, _Mapping]]] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("stream", "choices")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    stream: int
    choices: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, stream: _Optional[int] = ..., choices: _Optional[_Iterable[int]] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("num_frames",)
    NUM_FRAMES_FIELD_NUMBER: _ClassVar[int]
    num_frames: int
    def __init__(self, num_frames: _Optional[int] = ...) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("opened", "step", "joined", "failed")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    opened: SessionOpened
    step: StepFrame
    joined: Joined
    failed: AttemptFailed
    def __init__(self, opened: _Optional[_Union[SessionOpened, _Mapping]] = ..., step: _Optional[_Union[StepFrame, _Mapping]] = ..., joined: _Optional[_Union[Joined, _Mapping]] = ..., failed: _Optional[_Union[AttemptFailed, _Mapping]] = ...) -> None: ...

class SessionOpened(_message.Message):
    __slots__ = ("epoch", "near")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NEAR_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    near: NearOffer
    def __init__(self, epoch: _Optional[int] = ..., near: _Optional[_Union[NearOffer, _Mapping]] = ...) -> None: ...

class NearOffer(_message.Message):
    __slots__ = ("endpoint", "ticket")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    endpoint: str
    ticket: bytes
    def __init__(self, endpoint: _Optional[str] = ..., ticket: _Optional[bytes] = ...) -> None: ...

class StepFrame(_message.Message):
    __slots__ = ("streams", "choices", "indices", "token_ids", "finishes", "logprobs")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    INDICES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    FINISHES_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedScalarFieldContainer[int]
    choices: _containers.RepeatedScalarFieldContainer[int]
    indices: _containers.RepeatedScalarFieldContainer[int]
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    finishes: _containers.RepeatedCompositeFieldContainer[RowFinish]
    logprobs: _containers.RepeatedCompositeFieldContainer[RowLogprobs]
    def __init__(self, streams: _Optional[_Iterable[int]] = ..., choices: _Optional[_Iterable[int]] = ..., indices: _Optional[_Iterable[int]] = ..., token_ids: _Optional[_Iterable[int]] = ..., finishes: _Optional[_Iterable[_Union[RowFinish, _Mapping]]] = ..., logprobs: _Optional[_Iterable[_Union[RowLogprobs, _Mapping]]] = ...) -> None: ...

class RowFinish(_message.Message):
    __slots__ = ("row", "reason")
    ROW_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    row: int
    reason: _types_pb2.FinishReason
    def __init__(self, row: _Optional[int] = ..., reason: _Optional[_Union[_types_pb2.FinishReason, str]] = ...) -> None: ...

class RowLogprobs(_message.Message):
    __slots__ = ("row", "logprobs")
    ROW_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    row: int
    logprobs: _types_pb2.TokenLogprobs
    def __init__(self, row: _Optional[int] = ..., logprobs: _Optional[_Union[_types_pb2.TokenLogprobs, _Mapping]] = ...) -> None: ...

class Joined(_message.Message):
    __slots__ = ("stream", "num_cached_tokens", "num_bytes", "transport", "exposed_ms", "copy_ms")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    NUM_CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NUM_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    EXPOSED_MS_FIELD_NUMBER: _ClassVar[int]
    COPY_MS_FIELD_NUMBER: _ClassVar[int]
    stream: int
    num_cached_tokens: int
    num_bytes: int
    transport: str
    exposed_ms: float
    copy_ms: float
    def __init__(self, stream: _Optional[int] = ..., num_cached_tokens: _Optional[int] = ..., num_bytes: _Optional[int] = ..., transport: _Optional[str] = ..., exposed_ms: _Optional[float] = ..., copy_ms: _Optional[float] = ...) -> None: ...

class AttemptFailed(_message.Message):
    __slots__ = ("stream", "kind", "detail")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    stream: int
    kind: FailureKind
    detail: str
    def __init__(self, stream: _Optional[int] = ..., kind: _Optional[_Union[FailureKind, str]] = ..., detail: _Optional[str] = ...) -> None: ...
