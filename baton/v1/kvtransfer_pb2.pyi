from baton.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_RELEASED: _ClassVar[Verdict]
    VERDICT_GONE: _ClassVar[Verdict]
VERDICT_UNSPECIFIED: Verdict
VERDICT_RELEASED: Verdict
VERDICT_GONE: Verdict

class DescribeRequest(_message.Message):
    __slots__ = ("epoch",)
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    def __init__(self, epoch: _Optional[int] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("epoch", "layout_fingerprint", "transports")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    TRANSPORTS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    layout_fingerprint: str
    transports: _containers.RepeatedCompositeFieldContainer[TransportEndpoint]
    def __init__(self, epoch: _Optional[int] = ..., layout_fingerprint: _Optional[str] = ..., transports: _Optional[_Iterable[_Union[TransportEndpoint, _Mapping]]] = ...) -> None: ...

class TransportEndpoint(_message.Message):
    __slots__ = ("transport", "endpoint", "ticket")
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    transport: str
    endpoint: str
    ticket: bytes
    def __init__(self, transport: _Optional[str] = ..., endpoint: _Optional[str] = ..., ticket: _Optional[bytes] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("attempt", "epoch", "fetcher_epoch", "num_skip_blocks")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FETCHER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    NUM_SKIP_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    attempt: _types_pb2.AttemptId
    epoch: int
    fetcher_epoch: int
    num_skip_blocks: int
    def __init__(self, attempt: _Optional[_Union[_types_pb2.AttemptId, _Mapping]] = ..., epoch: _Optional[int] = ..., fetcher_epoch: _Optional[int] = ..., num_skip_blocks: _Optional[int] = ...) -> None: ...

class BlockRef(_message.Message):
    __slots__ = ("block", "generation", "checksum")
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    block: int
    generation: int
    checksum: int
    def __init__(self, block: _Optional[int] = ..., generation: _Optional[int] = ..., checksum: _Optional[int] = ...) -> None: ...

class FetchResponse(_message.Message):
    __slots__ = ("ready", "sealed")
    READY_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    ready: BlocksReady
    sealed: Manifest
    def __init__(self, ready: _Optional[_Union[BlocksReady, _Mapping]] = ..., sealed: _Optional[_Union[Manifest, _Mapping]] = ...) -> None: ...

class BlocksReady(_message.Message):
    __slots__ = ("first_block", "blocks")
    FIRST_BLOCK_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    first_block: int
    blocks: _containers.RepeatedCompositeFieldContainer[BlockRef]
    def __init__(self, first_block: _Optional[int] = ..., blocks: _Optional[_Iterable[_Union[BlockRef, _Mapping]]] = ...) -> None: ...

class Manifest(_message.Message):
    __slots__ = ("attempt", "layout_fingerprint", "num_tokens", "blocks", "first_tokens")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    NUM_TOKENS_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKENS_FIELD_NUMBER: _ClassVar[int]
    attempt: _types_pb2.AttemptId
    layout_fingerprint: str
    num_tokens: int
    blocks: _containers.RepeatedCompositeFieldContainer[BlockRef]
    first_tokens: _containers.RepeatedCompositeFieldContainer[_types_pb2.SampledToken]
    def __init__(self, attempt: _Optional[_Union[_types_pb2.AttemptId, _Mapping]] = ..., layout_fingerprint: _Optional[str] = ..., num_tokens: _Optional[int] = ..., blocks: _Optional[_Iterable[_Union[BlockRef, _Mapping]]] = ..., first_tokens: _Optional[_Iterable[_Union[_types_pb2.SampledToken, _Mapping]]] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("attempt", "epoch")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    attempt: _types_pb2.AttemptId
    epoch: int
    def __init__(self, attempt: _Optional[_Union[_types_pb2.AttemptId, _Mapping]] = ..., epoch: _Optional[int] = ...) -> None: ...

class RenewResponse(_message.Message):
    __slots__ = ("alive",)
    ALIVE_FIELD_NUMBER: _ClassVar[int]
    alive: bool
    def __init__(self, alive: _Optional[bool] = ...) -> None: ...

class LandedRequest(_message.Message):
    __slots__ = ("attempt", "epoch")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    attempt: _types_pb2.AttemptId
    epoch: int
    def __init__(self, attempt: _Optional[_Union[_types_pb2.AttemptId, _Mapping]] = ..., epoch: _Optional[int] = ...) -> None: ...

class LandedResponse(_message.Message):
    __slots__ = ("verdict",)
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    def __init__(self, verdict: _Optional[_Union[Verdict, str]] = ...) -> None: ...
