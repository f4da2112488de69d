"""The C structs that the native code reads, field by field as its headers declare them, and its functions' types."""

import ctypes
from ctypes import POINTER, c_float, c_int, c_int64, c_void_p


class Linear(ctypes.Structure):
    """`linear.h`."""

    _fields_ = (
        ("columns", c_int64),
        ("depth", c_int64),
        ("panels", c_void_p),
        ("bias", c_void_p),
        ("paired", c_int64),
    )


class Layer(ctypes.Structure):
    """`stack.h`."""

    _fields_ = (
        ("attention_norm", c_void_p),
        ("mlp_norm", c_void_p),
        ("qk_norm", c_void_p),
        ("window", c_int64),
        ("qkv", Linear),
        ("o", Linear),
        ("gate_up", Linear),
        ("down", Linear),
    )


class Model(ctypes.Structure):
    """`stack.h`."""

    _fields_ = (
        *((name, c_int64) for name in ("dtype", "num_layers", "hidden", "inner")),
        *((name, c_int64) for name in ("num_heads", "num_kv_heads", "head_dim", "vocab")),
        ("eps", c_float),
        ("scale", c_float),
        ("layers", POINTER(Layer)),
        *((name, c_void_p) for name in ("norm", "embedding", "cos", "sin")),
        ("num_positions", c_int64),
    )


class Heads(ctypes.Structure):
    """`pool.h`."""

    _fields_ = (
        *((name, c_int64) for name in ("num_heads", "num_kv_heads", "head_dim", "window")),
        ("scale", c_float),
        ("eps", c_float),
        *((name, c_void_p) for name in ("qk_norm", "cos", "sin")),
    )


class Step(ctypes.Structure):
    """`Batch` of `pool.h`."""

    _fields_ = (
        *((name, c_int64) for name in ("num_tokens", "num_sequences", "num_decode")),
        *((name, c_void_p) for name in ("token_ids", "positions", "slot_blocks", "slot_offsets")),
        *((name, c_void_p) for name in ("query_starts", "kv_lens", "block_tables")),
        ("table_stride", c_int64),
        ("num_wanted", c_int64),
        ("wanted", c_void_p),
    )


class Pool(ctypes.Structure):
    """`stack.h`."""

    _fields_ = (
        ("kv", c_void_p),
        *((name, c_int64) for name in ("num_blocks", "block_stride", "layer_stride", "kv_stride", "head_stride")),
        ("block_tokens", c_int64),
    )


FUNCTIONS: dict[str, tuple[type | None, tuple[object, ...]]] = {
    "baton_team_new": (c_void_p, (c_int,)),
    "baton_team_free": (None, (c_void_p,)),
    "baton_num_panels": (c_int64, (POINTER(Linear),)),
    "baton_pack": (None, (c_int64, c_void_p, POINTER(Linear), c_void_p)),
    "baton_linear": (
        None,
        (c_void_p, c_int64, c_void_p, c_int64, c_int64, POINTER(Linear), c_void_p, c_void_p, c_void_p, c_void_p),
    ),
    "baton_attend": (
        None,
        (c_void_p, c_int64, c_void_p, c_int64, POINTER(Step), POINTER(Heads), POINTER(Pool), c_void_p, c_int64),
    ),
    "baton_rms_norm": (None, (c_int64, c_void_p, c_int64, c_int64, c_void_p, c_int64, c_float, c_void_p)),
    "baton_silu_mul": (None, (c_void_p, c_void_p, c_int64, c_void_p)),
    "baton_carry_blocks": (None, (c_void_p, c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_void_p)),
    "baton_stack_new": (c_void_p, (POINTER(Model),)),
    "baton_stack_free": (None, (c_void_p,)),
    "baton_stack_forward": (
        c_int,
        (c_void_p, c_void_p, POINTER(Step), POINTER(Pool), c_void_p, POINTER(Linear), c_void_p, c_void_p, c_void_p),
    ),
}
