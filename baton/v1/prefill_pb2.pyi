from baton.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LoanEnd(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOAN_END_UNSPECIFIED: _ClassVar[LoanEnd]
    LOAN_END_RELEASED: _ClassVar[LoanEnd]
    LOAN_END_CANCELLED: _ClassVar[LoanEnd]
    LOAN_END_EXPIRED: _ClassVar[LoanEnd]
    LOAN_END_NOTHING_LENT: _ClassVar[LoanEnd]
LOAN_END_UNSPECIFIED: LoanEnd
LOAN_END_RELEASED: LoanEnd
LOAN_END_CANCELLED: LoanEnd
LOAN_END_EXPIRED: LoanEnd
LOAN_END_NOTHING_LENT: LoanEnd

class RunRequest(_message.Message):
    __slots__ = ("attempt", "epoch", "router_epoch", "remaining_ms", "lend")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ROUTER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    LEND_FIELD_NUMBER: _ClassVar[int]
    attempt: _types_pb2.Attempt
    epoch: int
    router_epoch: int
    remaining_ms: int
    lend: bool
    def __init__(self, attempt: _Optional[_Union[_types_pb2.Attempt, _Mapping]] = ..., epoch: _Optional[int] = ..., router_epoch: _Optional[int] = ..., remaining_ms: _Optional[int] = ..., lend: _Optional[bool] = ...) -> None: ...

class RunResponse(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[RunEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[RunEvent, _Mapping]]] = ...) -> None: ...

class RunEvent(_message.Message):
    __slots__ = ("started", "prompt_logprobs", "first_tokens", "sealed", "closed")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    PROMPT_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    started: RunStarted
    prompt_logprobs: RunPromptLogprobs
    first_tokens: RunFirstTokens
    sealed: RunSealed
    closed: RunClosed
    def __init__(self, started: _Optional[_Union[RunStarted, _Mapping]] = ..., prompt_logprobs: _Optional[_Union[RunPromptLogprobs, _Mapping]] = ..., first_tokens: _Optional[_Union[RunFirstTokens, _Mapping]] = ..., sealed: _Optional[_Union[RunSealed, _Mapping]] = ..., closed: _Optional[_Union[RunClosed, _Mapping]] = ...) -> None: ...

class RunStarted(_message.Message):
    __slots__ = ("num_cached_tokens", "queue_ms")
    NUM_CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    num_cached_tokens: int
    queue_ms: float
    def __init__(self, num_cached_tokens: _Optional[int] = ..., queue_ms: _Optional[float] = ...) -> None: ...

class RunPromptLogprobs(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[_types_pb2.TokenLogprobs]
    def __init__(self, tokens: _Optional[_Iterable[_Union[_types_pb2.TokenLogprobs, _Mapping]]] = ...) -> None: ...

class RunFirstTokens(_message.Message):
    __slots__ = ("tokens", "prefill_ms")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    PREFILL_MS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[_types_pb2.SampledToken]
    prefill_ms: float
    def __init__(self, tokens: _Optional[_Iterable[_Union[_types_pb2.SampledToken, _Mapping]]] = ..., prefill_ms: _Optional[float] = ...) -> None: ...

class RunSealed(_message.Message):
    __slots__ = ("num_blocks",)
    NUM_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    num_blocks: int
    def __init__(self, num_blocks: _Optional[int] = ...) -> None: ...

class RunClosed(_message.Message):
    __slots__ = ("end",)
    END_FIELD_NUMBER: _ClassVar[int]
    end: LoanEnd
    def __init__(self, end: _Optional[_Union[LoanEnd, str]] = ...) -> None: ...
