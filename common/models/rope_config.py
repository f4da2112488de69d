"""How positions turn queries and keys, as config.json says it: old (`rope_scaling`) and new (`rope_parameters`) form.

Numbers only; `rope.py` makes tables of them.
"""

import math
from dataclasses import dataclass

from common.models.fields import Fields
from common.types.errors import ModelError

KINDS = ("default", "linear", "dynamic", "llama3", "yarn")


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """Frequencies are `theta ** (-2i / head_dim)`, stretched the way `kind` says; cos and sin times `magnitude`.

    `dynamic` stretches only beyond `max_position_embeddings`, which is as far as a model is served: it needs nothing.
    """

    kind: str
    theta: float
    factor: float = 1.0
    original_max_tokens: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    magnitude: float = 1.0

    @classmethod
    def read(cls, config: Fields, max_tokens: int) -> "RopeConfig":
        """Values inside the rope object win over those beside it, as they do in transformers."""
        rope = config.inner("rope_scaling" if "rope_scaling" in config else "rope_parameters")
        kind = rope.text("rope_type", rope.text("type", "default"))
        if any(isinstance(value, dict) for value in rope.values.values()):
            raise ModelError("the model rotates its layers differently", "Such models are not supported yet.")
        if kind not in KINDS:
            raise ModelError(f"rope type {kind!r} is not supported", f"Supported: {', '.join(KINDS)}.")
        for source in (config, rope):
            if source.number("partial_rotary_factor", 1.0) != 1.0:
                raise ModelError("partial_rotary_factor is not 1", "Partly rotated heads are not supported yet.")
        theta = rope.number("rope_theta", config.number("rope_theta", 10_000.0))
        if kind in ("default", "dynamic"):
            return cls(kind, theta)
        if kind == "linear":
            return cls(kind, theta, factor=rope.number("factor"))
        original = (
            config.integer("original_max_position_embeddings")
            if "original_max_position_embeddings" in config
            else rope.integer("original_max_position_embeddings", max_tokens)
        )
        if kind == "llama3":
            low, high = rope.number("low_freq_factor"), rope.number("high_freq_factor")
            if low >= high:
                raise ModelError("low_freq_factor is not below high_freq_factor", "Correct config.json.")
            return cls(kind, theta, rope.number("factor"), original, low, high)
        factor = rope.number("factor", max_tokens / original)
        return cls(
            kind,
            theta,
            factor,
            original,
            beta_fast=rope.number("beta_fast", 32.0),
            beta_slow=rope.number("beta_slow", 1.0),
            truncate=rope.flag("truncate", True),
            magnitude=_yarn_magnitude(rope, factor),
        )


def _yarn_magnitude(rope: Fields, factor: float) -> float:
    """What scaled frequencies cost in attention entropy is paid back by scaling cos and sin."""
    if "attention_factor" in rope:
        return rope.number("attention_factor")

    def growth(scale: float) -> float:
        return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0

    # Zero is written for "not used".
    if rope["mscale"] and rope["mscale_all_dim"]:
        return growth(rope.number("mscale")) / growth(rope.number("mscale_all_dim"))
    return growth(1.0)
